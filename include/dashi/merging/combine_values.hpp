// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>
#include <dashi/kernels/mean_report.hpp>
#include <dashi/merging/concept.hpp>
#include <dashi/merging/merge_plan.hpp>
#include <dashi/merging/typed_values.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dashi::merging {

/// The nearest double of a weight.
inline double approximate(DecimalWeight weight) {
  return static_cast<double>(weight.digits) /
         static_cast<double>(detail::powers_of_ten[static_cast<std::size_t>(weight.places)]);
}

/// A strategy of form element or tensor as a combination for stream_tensors(): its doubles are
/// rounded once to the output dtype.
template <MergeStrategy Strategy>
class CombineValues {
public:
  static constexpr bool as_double = true;
  static constexpr bool by_tensor = true;

  CombineValues(Strategy const& strategy, MergePlan const& plan)
      : strategy_(&strategy), members_(plan.members), weights_(plan.weights) {}

  kernels::MeanReport operator()(WorkerContext&, Values const& values) const {
    std::vector<std::span<double const>> sources;
    kernels::MeanReport report;
    std::vector<double> weights;
    for (std::size_t s = 0; s < values.held.size(); ++s) {
      if (values.held[s] == nullptr) {
        continue;
      }
      sources.emplace_back(reinterpret_cast<double const*>(values.held[s]), values.count);
      count_nonfinite(sources.back(), report);
      if (s < members_) {
        weights.push_back(approximate(*weights_[values.tensor->weights][s]));
      }
    }
    std::span<double> const result(values.result, values.count);
    strategy_->merge(
        MergeInput(values.tensor->name, values.tensor->shape, values.first,
                   std::span(sources).first(weights.size()), weights,
                   sources.size() > weights.size() ? sources.back() : std::span<double const>()),
        result);
    with_type(values.tensor->dtype, [&]<class Out>() {
      Out* const out = reinterpret_cast<Out*>(values.out);
      for (std::uint64_t i = 0; i < values.count; ++i) {
        out[i] = convert<Out>(result[i]);
        if (!is_finite(out[i]) && finite_inputs(sources, i)) {
          ++report.overflowed;
          report.first_overflow =
              report.first_overflow < 0 ? static_cast<std::int64_t>(i) : report.first_overflow;
        }
      }
    });
    return report;
  }

private:
  static void count_nonfinite(std::span<double const> values, kernels::MeanReport& report) {
    kernels::MeanReport mine;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!std::isfinite(values[i])) {
        ++(std::isnan(values[i]) ? mine.nan_inputs : mine.infinite_inputs);
        mine.first_nonfinite =
            mine.first_nonfinite < 0 ? static_cast<std::int64_t>(i) : mine.first_nonfinite;
      }
    }
    report += mine;
  }

  static bool finite_inputs(std::span<std::span<double const> const> sources, std::size_t i) {
    for (std::span<double const> const source : sources) {
      if (!std::isfinite(source[i])) {
        return false;
      }
    }
    return true;
  }

  Strategy const* strategy_;
  std::size_t members_;
  std::vector<MemberWeights> weights_;
};

}  // namespace dashi::merging
