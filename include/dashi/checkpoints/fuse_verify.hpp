// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/fuse_plan.hpp>
#include <dashi/checkpoints/fuse_tensors.hpp>
#include <dashi/checkpoints/stream_options.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/core/floating_environment.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/float_dtypes.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/merging/chunk_pool.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// How rows of a fused tensor agree with what an adapter's module makes of the base.
struct ModuleAgreement {
  std::size_t adapter = 0;
  std::size_t module = 0;
  std::string tensor;
  std::uint64_t elements = 0;
  double largest_ulp = 0;       ///< error in units in the last place of the tensor's dtype
  std::uint64_t worst = 0;      ///< element of the tensor with that error
  std::uint64_t different = 0;  ///< elements whose error is above the limit

  ModuleAgreement& operator+=(ModuleAgreement const& other) {
    elements += other.elements;
    different += other.different;
    if (other.largest_ulp > largest_ulp) {
      largest_ulp = other.largest_ulp;
      worst = other.worst;
    }
    return *this;
  }
};

/// What verify_fusion() found.
struct FusionAgreement {
  std::vector<ModuleAgreement> modules;  ///< one for each tensor that a module changes
  std::vector<std::string> other;        ///< tensors that no module accounts for, and differ

  bool agrees() const noexcept {
    return other.empty() && std::all_of(modules.begin(), modules.end(),
                                        [](auto const& m) { return m.different == 0; });
  }
};

namespace detail {

/// The distance from one number of the dtype to the next, at the magnitude of `exact`; of a
/// format's smallest numbers that of its subnormals.
template <class T>
double unit_in_last_place(double exact) {
  using F = FloatFormat<T>;
  constexpr int lowest = 1 - F::bias - F::fraction_bits;
  int const exponent = exact == 0 || !std::isfinite(exact) ? lowest : std::ilogb(exact);
  return std::ldexp(1.0, std::max(exponent - F::fraction_bits, lowest));
}

template <class T>
ModuleAgreement agreement(std::span<double const> exact, std::byte const* fused, double limit) {
  ModuleAgreement out;
  out.elements = exact.size();
  for (std::size_t i = 0; i < exact.size(); ++i) {
    T value;
    std::memcpy(&value, fused + i * sizeof(T), sizeof(T));
    double const actual = convert<double>(value);
    double error = std::abs(actual - exact[i]) / unit_in_last_place<T>(exact[i]);
    T const once = convert<T>(exact[i]);
    if (std::memcmp(&once, &value, sizeof(T)) == 0 || actual == exact[i]) {
      error = std::isnan(error) ? 0 : std::min(error, 0.5);
    } else if (std::isnan(error)) {
      error = std::numeric_limits<double>::infinity();
    }
    if (error > out.largest_ulp) {
      out.largest_ulp = error;
      out.worst = i;
    }
    out.different += error > limit ? 1U : 0U;
  }
  return out;
}

}  // namespace detail

/// Compares a fused checkpoint, whoever made it, with its base and adapters at run time: with the
/// exact weight, in double, that a layer with the adapters beside it computes with. One rounding
/// leaves an error of at most half a unit in the last place; `limit` is what passes. Tensors that
/// no adapter changes must have the base's bytes. Streams; needs no Kokkos.
///
/// Throws IoError, FormatError as FuseTensor, UsageError for too small a budget.
inline FusionAgreement verify_fusion(FusePlan const& plan, io::Checkpoint const& fused,
                                     double limit = 0.5, StreamOptions const& options = {},
                                     io::Progress& progress = io::no_progress()) {
  FusionAgreement out;
  std::vector<bool> differs(plan.tensors.size());
  std::vector<std::vector<ModuleAgreement>> steps(plan.tensors.size());
  std::vector<io::TensorRef const*> others;
  for (PlannedFusion const& tensor : plan.tensors) {
    io::TensorRef const* const other = fused.find(tensor.ref->info.name);
    bool const same = other != nullptr && other->info.dtype == tensor.ref->info.dtype &&
                      other->info.shape == tensor.ref->info.shape;
    others.push_back(same ? other : nullptr);
    auto& of_tensor = steps[others.size() - 1];
    for (FuseStep const& step : tensor.steps) {
      ModuleAgreement& module = of_tensor.emplace_back();
      module.adapter = step.adapter;
      module.module = step.module;
      module.tensor = tensor.ref->info.name;
    }
    if (!same) {
      out.other.push_back(tensor.ref->info.name);
    }
  }
  for (io::TensorRef const& ref : fused.tensors()) {
    if (plan.base->find(ref.info.name) == nullptr) {
      out.other.push_back(ref.info.name);
    }
  }
  std::vector<Piece> const pieces = detail::fuse_pieces(plan);
  detail::FuseTensors tensors(plan, pieces);
  std::mutex mutex;
  progress.start(2 * plan.base->bytes());
  int const workers = workers_within(options);
  merging::run_chunks(pieces.size(), workers, [&](int, std::uint64_t p) {
    Piece const& piece = pieces[p];
    PlannedFusion const& tensor = plan.tensors[piece.tensor];
    io::TensorRef const* const other = others[piece.tensor];
    if (other == nullptr) {
      return;
    }
    FloatingEnvironment const environment;
    bool const touched = tensor.touched() && tensor.cols() > 0;
    io::Dtype const dtype = tensor.ref->info.dtype;
    auto const width = static_cast<std::uint64_t>(io::bits(dtype)) / 8;
    std::uint64_t const unit = touched ? tensor.cols() * width : 1;
    std::vector<std::byte> before(static_cast<std::size_t>(piece.count * unit));
    std::vector<std::byte> after(before.size());
    plan.base->read(*tensor.ref, piece.first * unit, before);
    fused.read(*other, piece.first * unit, after);
    progress.advance(2 * before.size());
    if (!touched) {
      if (before != after) {
        std::scoped_lock const lock(mutex);
        differs[piece.tensor] = true;
      }
      return;
    }
    std::vector<double> exact(static_cast<std::size_t>(piece.count * tensor.cols()));
    widen_to_double(dtype, before.data(), exact);
    tensors.use(piece.tensor,
                [&](FuseTensor const& t) { t.apply(piece.first, piece.count, exact); });
    std::vector<bool> accounted(static_cast<std::size_t>(piece.count));
    for (std::size_t s = 0; s < tensor.steps.size(); ++s) {
      FuseStep const& step = tensor.steps[s];
      std::uint64_t const begin = std::max(piece.first, step.tensor_row);
      std::uint64_t const end = std::min(piece.first + piece.count, step.tensor_row + step.rows);
      if (begin >= end) {
        continue;
      }
      auto const at = static_cast<std::size_t>((begin - piece.first) * tensor.cols());
      auto const size = static_cast<std::size_t>((end - begin) * tensor.cols());
      ModuleAgreement part = io::with_float_type(dtype, [&]<class T>() {
        return detail::agreement<T>(std::span(exact).subspan(at, size), after.data() + at * width,
                                    limit);
      });
      part.worst += begin * tensor.cols();
      std::fill(accounted.begin() + static_cast<std::ptrdiff_t>(begin - piece.first),
                accounted.begin() + static_cast<std::ptrdiff_t>(end - piece.first), true);
      std::scoped_lock const lock(mutex);
      steps[piece.tensor][s] += part;
    }
    auto const row_bytes = static_cast<std::size_t>(unit);
    for (std::size_t r = 0; r < accounted.size(); ++r) {
      if (!accounted[r] && std::memcmp(before.data() + r * row_bytes, after.data() + r * row_bytes,
                                       row_bytes) != 0) {
        std::scoped_lock const lock(mutex);
        differs[piece.tensor] = true;
      }
    }
  });
  plan.base->expect_unchanged();
  fused.expect_unchanged();
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
    if (differs[t]) {
      out.other.push_back(plan.tensors[t].ref->info.name);
    }
    for (ModuleAgreement& module : steps[t]) {
      out.modules.push_back(std::move(module));
    }
  }
  std::sort(out.other.begin(), out.other.end());
  return out;
}

}  // namespace dashi::checkpoints
