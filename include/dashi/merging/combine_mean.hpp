// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/exact_mean.hpp>
#include <dashi/kernels/mean_report.hpp>
#include <dashi/kernels/mean_weights.hpp>
#include <dashi/merging/typed_values.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace dashi::merging {

/// The exact weighted mean as a combination for stream_tensors(): rounded once, whatever the order.
class CombineMean {
public:
  static constexpr bool as_double = false;
  static constexpr bool by_tensor = false;

  explicit CombineMean(kernels::MeanWeights weights) : weights_(std::move(weights)) {}

  kernels::MeanReport operator()(WorkerContext& ctx, Values const& values) const {
    return with_type(values.held_as, [&]<class In>() {
      return with_type(values.tensor->dtype,
                       [&]<class Out>() { return mean<In, Out>(ctx, values); });
    });
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
};

}  // namespace dashi::merging
