// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/mean_kernel.hpp>
#include <dashi/kernels/publish_kernel.hpp>
#include <dashi/kernels/tile_runner.hpp>

#include <cstdint>

namespace dashi::kernels {

namespace detail {

template <class Out, bool Windowed, class Exec>
MeanReport publish(Exec const& exec, std::int64_t const* high, std::uint64_t const* low,
                   std::int64_t total, VectorOf<Out, Exec> out) {
  DASHI_EXPECTS(total > 0, "the total weight must be positive");
  MeanConstants constants{};
  constants.total = total;
  constants.double_total = static_cast<double>(total);
  constants.double_reciprocal = 1.0 / constants.double_total;
  constexpr std::int64_t exact_in_double = std::int64_t{1} << 53;
  bool const fast =
      std::is_same_v<Out, double> ? total < exact_in_double : midpoint_is_exact<Out, double>(total);
  constants.double_spread = fast ? 0 : -1;
  return with_counters(exec, [&](MeanCounters* counters) {
    run_tiles("dashi::kernels::publish", exec, static_cast<Index>(out.extent(0)),
              PublishKernel<Out, Windowed>{constants, high, low, out.data(), counters});
  });
}

}  // namespace detail

/// out = sums * 2^-24 / total, rounded once to nearest, ties to even, to Out (Float16, BFloat16,
/// float or double): the same bits as exact_mean of the members. A zero sum gives +0; elements with
/// spilled or -0 terms are the caller's to correct (WideSum::mean). Beyond the largest finite
/// number: infinity, counted. Fences.
template <class Out, class Exec, class Provider>
MeanReport publish(Context<Exec, Provider>& ctx, VectorOf<std::int64_t const, Exec> sums,
                   std::int64_t total, VectorOf<Out, Exec> out) {
  DASHI_EXPECTS(sums.extent(0) == out.extent(0), "out must have the extent of the sums");
  return detail::publish<Out, false>(ctx.exec(), sums.data(), nullptr, total, out);
}

/// The same for window sums, in units of 2^-79.
template <class Out, class Exec, class Provider>
MeanReport publish(Context<Exec, Provider>& ctx, Window<Exec> const& window, std::int64_t total,
                   VectorOf<Out, Exec> out) {
  DASHI_EXPECTS(window.low.extent(0) == out.extent(0) && window.high.extent(0) == out.extent(0),
                "out must have the extent of the window");
  return detail::publish<Out, true>(ctx.exec(), window.high.data(), window.low.data(), total, out);
}

}  // namespace dashi::kernels
