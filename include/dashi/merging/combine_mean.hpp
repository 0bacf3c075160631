// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/kernels/exact_mean.hpp>
#include <dashi/kernels/mean_report.hpp>
#include <dashi/kernels/mean_weights.hpp>
#include <dashi/merging/finite_values.hpp>
#include <dashi/merging/mean_options.hpp>
#include <dashi/merging/merge_plan.hpp>
#include <dashi/merging/typed_values.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace dashi::merging {

/// The exact weighted mean as a combination for stream_tensors(): rounded once, whatever the order.
/// A member of weight 0 takes no part; when values must be finite, so must its values.
class CombineMean {
public:
  static constexpr bool as_double = false;
  static constexpr bool by_tensor = false;

  /// UsageError when the weights of some tensor have a total that is not positive or too large.
  explicit CombineMean(MergePlan const& plan)
      : checks_idle_(plan.options.nonfinite == NonfinitePolicy::error) {
    for (std::size_t set = 0; set < plan.weights.size(); ++set) {
      try {
        parts_.push_back(part_of(plan.weights[set]));
      } catch (UsageError const& error) {
        auto const tensor = std::find_if(plan.tensors.begin(), plan.tensors.end(),
                                         [&](PlannedTensor const& t) { return t.weights == set; });
        Diagnosis diagnosis = error.diagnosis();
        if (plan.weights.size() > 1) {
          diagnosis.place += " of tensor " + io::in_quotes(tensor->name);
        }
        throw UsageError(diagnosis);
      }
    }
  }

  kernels::MeanReport operator()(WorkerContext& ctx, Values const& values) const {
    kernels::MeanReport report = with_type(values.held_as, [&]<class In>() {
      return with_type(values.tensor->dtype,
                       [&]<class Out>() { return mean<In, Out>(ctx, values); });
    });
    std::uint64_t const bytes =
        values.count * static_cast<std::uint64_t>(io::bits(values.held_as)) / 8;
    Part const& part = parts_[values.tensor->weights];
    for (std::size_t i = 0; checks_idle_ && i < part.members.size(); ++i) {
      std::span const held(values.held[part.members[i]], static_cast<std::size_t>(bytes));
      if (part.weights->values()[i] == 0 && !all_finite(values.held_as, held)) {
        report += count_nonfinite(values.held_as, held);
      }
    }
    return report;
  }

private:
  /// Who takes part in the tensors of one set of weights, and with which.
  struct Part {
    std::vector<std::size_t> members;
    std::optional<kernels::MeanWeights> weights;
  };

  static Part part_of(MemberWeights const& set) {
    Part part;
    std::vector<DecimalWeight> weights;
    for (std::size_t m = 0; m < set.size(); ++m) {
      if (set[m]) {
        part.members.push_back(m);
        weights.push_back(*set[m]);
      }
    }
    part.weights.emplace(to_integers(weights).values);
    return part;
  }

  template <class In, class Out>
  kernels::MeanReport mean(WorkerContext& ctx, Values const& values) const {
    std::vector<VectorOf<In const, Kokkos::Serial>> members;
    Part const& part = parts_[values.tensor->weights];
    members.reserve(part.members.size());
    for (std::size_t const m : part.members) {
      members.push_back(values_of<In const>(values.held[m], values.count));
    }
    return kernels::exact_mean<In, Out>(
        ctx, *part.weights, std::span<VectorOf<In const, Kokkos::Serial> const>(members),
        values_of<Out>(values.out, values.count));
  }

  std::vector<Part> parts_;  // by PlannedTensor::weights
  bool checks_idle_;
};

}  // namespace dashi::merging
