// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/adapter_change.hpp>
#include <dashi/checkpoints/difference_norms.hpp>
#include <dashi/checkpoints/fuse_plan.hpp>
#include <dashi/core/error.hpp>
#include <dashi/core/floating_environment.hpp>
#include <dashi/io/listing.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// Elements of a piece of a tensor that changes; a function of the tensor alone, so that results
/// never depend on memory or threads.
inline constexpr std::uint64_t fused_elements = std::uint64_t{1} << 16;

/// Rows of a piece: at least one, however long.
inline std::uint64_t fused_rows(PlannedFusion const& tensor) {
  return std::max<std::uint64_t>(1, fused_elements / std::max<std::uint64_t>(1, tensor.cols()));
}

class FuseNorms;

/// A tensor of a plan with the factors of its changes in memory: makes its fused values in double.
/// apply() is thread-safe.
class FuseTensor {
public:
  /// Reads the factors of the steps of the adapters before `end`; FormatError for a module whose
  /// shape is not the tensor's.
  FuseTensor(FusePlan const& plan, PlannedFusion const& tensor, FuseNorms& norms,
             std::size_t end = static_cast<std::size_t>(-1));

  /// Changes rows [first, first + count), `values` [count, cols] of the base, in place.
  void apply(std::uint64_t first, std::uint64_t count, std::span<double> values) const {
    std::uint64_t const cols = tensor_.cols();
    for (auto const& [step, change] : steps_) {
      std::uint64_t const begin = std::max(first, step.tensor_row);
      std::uint64_t const end = std::min(first + count, step.tensor_row + step.rows);
      if (begin >= end) {
        continue;
      }
      std::span const rows = values.subspan(static_cast<std::size_t>((begin - first) * cols),
                                            static_cast<std::size_t>((end - begin) * cols));
      auto const at = static_cast<std::size_t>(step.module_row + begin - step.tensor_row);
      if (step.bias) {
        change.apply_to_bias(at, rows);
      } else {
        change.apply(at, static_cast<std::size_t>(end - begin), rows);
      }
    }
  }

  /// Reads rows of the base as they are before any change.
  static void read(FusePlan const& plan, PlannedFusion const& tensor, std::uint64_t first,
                   std::uint64_t count, std::vector<std::byte>& raw, std::vector<double>& values) {
    auto const width = static_cast<std::uint64_t>(io::bits(tensor.ref->info.dtype)) / 8;
    auto const elements = static_cast<std::size_t>(count * tensor.cols());
    raw.resize(elements * static_cast<std::size_t>(width));
    values.resize(elements);
    plan.base->read(*tensor.ref, first * tensor.cols() * width, raw);
    widen_to_double(tensor.ref->info.dtype, raw.data(), values);
  }

  std::uint64_t memory() const noexcept {
    std::uint64_t sum = 0;
    for (auto const& [step, change] : steps_) {
      sum += change.memory();
    }
    return sum;
  }

private:
  PlannedFusion const& tensor_;
  std::vector<std::pair<FuseStep, AdapterChange>> steps_;
};

/// Norms of the columns of weights that DoRA by input wants, over all tensors that hold rows of its
/// module and after the adapters before it; each computed once, by a pass over those rows.
/// Thread-safe.
class FuseNorms {
public:
  explicit FuseNorms(FusePlan const& plan) : plan_(plan) {}

  /// Sums of squares, one for each column.
  std::vector<double> sums(FuseStep const& step, AdapterChange const& change) {
    std::scoped_lock const lock(mutex_);
    auto const key = std::pair(step.adapter, step.module);
    auto const known = known_.find(key);
    if (known != known_.end()) {
      return known->second;
    }
    FloatingEnvironment const environment;
    std::vector<double> out;
    std::vector<std::byte> raw;
    std::vector<double> values;
    for (io::AdapterTarget const& target : plan_.adapters[step.adapter].targets) {
      if (target.module != step.module) {
        continue;
      }
      PlannedFusion const& tensor = plan_.at(target.tensor);
      out.resize(static_cast<std::size_t>(tensor.cols()));
      FuseTensor const before(plan_, tensor, *this, step.adapter);
      std::uint64_t const most = fused_rows(tensor);
      for (std::uint64_t row = 0; row < target.rows; row += most) {
        std::uint64_t const count = std::min(most, target.rows - row);
        FuseTensor::read(plan_, tensor, target.tensor_row + row, count, raw, values);
        before.apply(target.tensor_row + row, count, values);
        change.add_column_squares(static_cast<std::size_t>(target.module_row + row),
                                  static_cast<std::size_t>(count), values, out);
      }
    }
    known_.emplace(key, out);
    return out;
  }

private:
  FusePlan const& plan_;
  std::recursive_mutex mutex_;  // an earlier adapter may want norms as well
  std::map<std::pair<std::size_t, std::size_t>, std::vector<double>> known_;
};

inline FuseTensor::FuseTensor(FusePlan const& plan, PlannedFusion const& tensor, FuseNorms& norms,
                              std::size_t end)
    : tensor_(tensor) {
  for (FuseStep const& step : tensor.steps) {
    if (step.adapter >= end) {
      break;
    }
    FuseAdapter const& adapter = plan.adapters[step.adapter];
    AdapterChange change(plan.module(step), adapter.factor());
    std::uint64_t const rows = step.bias ? step.module_row + step.rows : change.rows();
    std::uint64_t const cols = step.bias || change.cols() == 0 ? tensor.cols() : change.cols();
    if (step.module_row + step.rows > rows || cols != tensor.cols()) {
      throw FormatError(
          {.code = "adapter-shape",
           .file = adapter.file->path.string(),
           .place = "module " + io::in_quotes(plan.module(step).path),
           .found = "a change of " + std::to_string(rows) + " rows of " + std::to_string(cols),
           .expected = "rows of " + std::to_string(tensor.cols()) + " for tensor " +
                       io::in_quotes(tensor.ref->info.name),
           .advice = "the adapter is for another base"});
    }
    if (change.needs_column_norms() && !step.bias) {
      change.set_column_norms(norms.sums(step, change));
    }
    steps_.emplace_back(step, std::move(change));
  }
}

}  // namespace dashi::checkpoints
