// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/accumulate_kernel.hpp>
#include <dashi/kernels/mean_report.hpp>
#include <dashi/kernels/sparse_events.hpp>
#include <dashi/kernels/tile_runner.hpp>
#include <dashi/kernels/window.hpp>

#include <cstdint>
#include <type_traits>

namespace dashi::kernels {

namespace detail {

template <class In, bool Windowed, class Exec>
MeanReport accumulate(Exec const& exec, std::int64_t weight, VectorOf<In const, Exec> x,
                      std::int64_t* high, std::uint64_t* low, SparseEvents<Exec>& events) {
  auto const count = static_cast<Index>(x.extent(0));
  std::uint8_t* const spilled = events.spilled_flags.prepare(count);
  std::uint8_t* const zeros = events.negative_zero_flags.prepare(count);
  MeanReport const report = with_counters(exec, [&](MeanCounters* counters) {
    run_tiles(
        "dashi::kernels::accumulate", exec, count,
        AccumulateKernel<In, Windowed>{weight, x.data(), high, low, spilled, zeros, counters});
  });
  events.spilled = events.spilled_flags.indices();
  events.negative_zeros = events.negative_zero_flags.indices();
  return report;
}

}  // namespace detail

/// sums += weight * x * 2^24, exact for every finite Float16 while Σ|w| <= half_sum_capacity.
///
/// x and sums: the same extent. weight may be negative, not 0. Two's complement addition: order and
/// history leave no trace. events.negative_zeros lists the terms that are -0 (none is spilled).
/// Non-finite elements are counted in the report and not added: refuse the member. Memory: 18 bytes
/// an element. Fences.
template <class Exec, class Provider>
MeanReport accumulate(Context<Exec, Provider>& ctx, std::int64_t weight,
                      VectorOf<Float16 const, Exec> x, VectorOf<std::int64_t, Exec> sums,
                      SparseEvents<Exec>& events) {
  DASHI_EXPECTS(x.extent(0) == sums.extent(0), "sums must have the extent of x");
  DASHI_EXPECTS(weight != 0 && weight >= -half_sum_capacity && weight <= half_sum_capacity,
                "the weight must not be 0 and must be within half_sum_capacity");
  return detail::accumulate<Float16, false>(ctx.exec(), weight, x, sums.data(), nullptr, events);
}

/// window += weight * x for the x that lie in the window (window.hpp); the others are listed in
/// events.spilled. In: Float16, BFloat16 or float. Memory: 32 bytes an element and x. Fences.
template <class In, class Exec, class Provider>
MeanReport accumulate(Context<Exec, Provider>& ctx, std::int64_t weight, VectorOf<In const, Exec> x,
                      Window<Exec> const& window, SparseEvents<Exec>& events) {
  static_assert(
      std::is_same_v<In, Float16> || std::is_same_v<In, BFloat16> || std::is_same_v<In, float>,
      "dashi::kernels::accumulate: a window takes Float16, BFloat16 and float; soups of double "
      "members are recomputed");
  DASHI_EXPECTS(x.extent(0) == window.low.extent(0) && x.extent(0) == window.high.extent(0),
                "the window must have the extent of x");
  DASHI_EXPECTS(weight != 0 && weight > -window_capacity && weight < window_capacity,
                "the weight must not be 0 and must be within window_capacity");
  return detail::accumulate<In, true>(ctx.exec(), weight, x, window.high.data(), window.low.data(),
                                      events);
}

}  // namespace dashi::kernels
