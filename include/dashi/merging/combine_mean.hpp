// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/exact_mean.hpp>
#include <dashi/kernels/mean_report.hpp>
#include <dashi/kernels/mean_weights.hpp>
#include <dashi/merging/finite_values.hpp>
#include <dashi/merging/mean_options.hpp>
#include <dashi/merging/typed_values.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <cstdint>
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

  CombineMean(kernels::MeanWeights weights, NonfinitePolicy nonfinite)
      : weights_(std::move(weights)), checks_idle_(nonfinite == NonfinitePolicy::error) {}

  kernels::MeanReport operator()(WorkerContext& ctx, Values const& values) const {
    kernels::MeanReport report = with_type(values.held_as, [&]<class In>() {
      return with_type(values.tensor->dtype,
                       [&]<class Out>() { return mean<In, Out>(ctx, values); });
    });
    std::uint64_t const bytes =
        values.count * static_cast<std::uint64_t>(io::bits(values.held_as)) / 8;
    for (std::size_t m = 0; checks_idle_ && m < values.held.size(); ++m) {
      std::span const held(values.held[m], static_cast<std::size_t>(bytes));
      if (weights_.values()[m] == 0 && !all_finite(values.held_as, held)) {
        report += count_nonfinite(values.held_as, held);
      }
    }
    return report;
  }

private:
  template <class In, class Out>
  kernels::MeanReport mean(WorkerContext& ctx, Values const& values) const {
    std::vector<VectorOf<In const, Kokkos::Serial>> members;
    members.reserve(values.held.size());
    for (std::byte const* held : values.held) {
      members.push_back(values_of<In const>(held, values.count));
    }
    return kernels::exact_mean<In, Out>(
        ctx, weights_, std::span<VectorOf<In const, Kokkos::Serial> const>(members),
        values_of<Out>(values.out, values.count));
  }

  kernels::MeanWeights weights_;
  bool checks_idle_;
};

}  // namespace dashi::merging
