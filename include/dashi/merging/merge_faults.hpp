// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/kernels/mean_report.hpp>
#include <dashi/merging/merge_plan.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace dashi::merging {

/// Gathers what is wrong with the values while workers stream, so that the message does not depend
/// on threads or chunks: it is about the first tensor of the plan that is affected, and counts all
/// of it.
class MergeFaults {
public:
  explicit MergeFaults(MergePlan const& plan) : plan_(&plan) {}

  /// Last chunk that still matters; those after it may be skipped.
  std::uint64_t last_chunk() const noexcept { return last_chunk_.load(std::memory_order_relaxed); }

  /// Indices of `report` count from the tensor's begin.
  void add(std::size_t tensor, kernels::MeanReport const& report) {
    MergeOptions const& options = plan_->options;
    bool const nonfinite = report.nan_inputs + report.infinite_inputs > 0;
    bool const fatal = (nonfinite && options.nonfinite == NonfinitePolicy::error) ||
                       (report.overflowed > 0 && options.overflow == OverflowPolicy::error &&
                        options.nonfinite == NonfinitePolicy::error);
    std::scoped_lock const lock(mutex_);
    total_.nan_inputs += report.nan_inputs;
    total_.infinite_inputs += report.infinite_inputs;
    total_.overflowed += report.overflowed;
    if (fatal) {
      reports_[tensor] += report;
      std::uint64_t const last = plan_->layout.last_chunk[tensor];
      if (last < last_chunk_.load(std::memory_order_relaxed)) {
        last_chunk_.store(last, std::memory_order_relaxed);
      }
    }
  }

  /// A tensor that is copied, and that `source` stores differently.
  void add_difference(std::size_t tensor, std::size_t source) {
    std::scoped_lock const lock(mutex_);
    auto const [at, fresh] = differing_.emplace(tensor, source);
    at->second = source < at->second ? source : at->second;
  }

  /// Counts over all tensors; without indices.
  kernels::MeanReport const& total() const noexcept { return total_; }

  /// Throws FormatError for the first thing found. After all workers are done.
  void expect_none() const {
    if (!reports_.empty()) {
      fail_values(reports_.begin()->first, reports_.begin()->second);
    }
    if (!differing_.empty()) {
      std::vector<std::string> names;
      for (auto const& [tensor, source] : differing_) {
        PlannedTensor const& t = plan_->tensors[tensor];
        names.push_back(io::in_quotes(t.name) + " (" + std::string(io::name(t.dtype)) + ")");
      }
      auto const& [tensor, source] = *differing_.begin();
      throw FormatError(
          {.code = "copied-tensor-differs",
           .file = plan_->sources[source].checkpoint->path().string(),
           .place = "tensor " + io::in_quotes(plan_->tensors[tensor].name),
           .found =
               "other values than in " +
               plan_->sources[plan_->tensors[tensor].first_source()].checkpoint->path().string() +
               "; tensors: " + io::listing(names),
           .expected = "the same values in all members for dtypes that are not averaged",
           .advice = "only F16, BF16, F32 and F64 are averaged"});
    }
  }

private:
  [[noreturn]] void fail_values(std::size_t tensor, kernels::MeanReport const& report) const {
    PlannedTensor const& t = plan_->tensors[tensor];
    std::string const place = "tensor " + io::in_quotes(t.name);
    if (report.nan_inputs + report.infinite_inputs > 0) {
      std::size_t const source = first_nonfinite_source(t, report.first_nonfinite);
      throw FormatError({.code = "nonfinite",
                         .file = plan_->sources[source].checkpoint->path().string(),
                         .place = place + " element " + std::to_string(report.first_nonfinite),
                         .found = std::to_string(report.nan_inputs) + " NaN and " +
                                  std::to_string(report.infinite_inputs) +
                                  " infinite values in this tensor of all members, the first here",
                         .expected = "finite values",
                         .advice = "leave that member out, or give --nonfinite=propagate"});
    }
    throw FormatError({.code = "overflow",
                       .file = {},
                       .place = place + " element " + std::to_string(report.first_overflow),
                       .found = std::to_string(report.overflowed) + " results beyond the largest " +
                                std::string(io::name(t.dtype)) + ", the first here",
                       .expected = "results that " + std::string(io::name(t.dtype)) + " can hold",
                       .advice = "give --dtype with a wider range, or --saturate"});
  }

  /// The first member whose element is NaN or infinite: exponent bits all set.
  std::size_t first_nonfinite_source(PlannedTensor const& t, std::int64_t element) const {
    for (std::size_t s = 0; s < t.sources.size(); ++s) {
      if (t.sources[s] == nullptr) {
        continue;
      }
      io::TensorRef const& ref = *t.sources[s];
      auto const width = static_cast<std::size_t>(io::bits(ref.info.dtype)) / 8;
      std::uint64_t bits = 0;
      plan_->sources[s].checkpoint->read(ref, static_cast<std::uint64_t>(element) * width,
                                         std::as_writable_bytes(std::span(&bits, 1)).first(width));
      std::uint64_t const exponent = ref.info.dtype == io::Dtype::f16    ? 0x7c00
                                     : ref.info.dtype == io::Dtype::bf16 ? 0x7f80
                                     : ref.info.dtype == io::Dtype::f32  ? 0x7f800000
                                                                         : 0x7ff0000000000000;
      if ((bits & exponent) == exponent) {
        return s;
      }
    }
    return 0;
  }

  MergePlan const* plan_;
  std::mutex mutex_;
  std::atomic<std::uint64_t> last_chunk_{std::numeric_limits<std::uint64_t>::max()};
  std::map<std::size_t, kernels::MeanReport> reports_;
  std::map<std::size_t, std::size_t> differing_;  // tensor -> first member that differs
  kernels::MeanReport total_;
};

}  // namespace dashi::merging
