// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/kernels/wide_int.hpp>
#include <dashi/kernels/window.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>

namespace dashi::kernels {

namespace detail {

template <class Exec>
using ElementRange = Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>;

}  // namespace detail

/// sums = sums * multiply / divide; the quotient must be exact. A soup does this when the number of
/// decimal places of its weights changes. Asynchronous.
template <class Exec, class Provider>
void rescale(Context<Exec, Provider>& ctx, VectorOf<std::int64_t, Exec> sums, std::int64_t multiply,
             std::int64_t divide) {
  DASHI_EXPECTS(multiply > 0 && divide > 0, "factors must be positive");
  Kokkos::parallel_for(
      "dashi::kernels::rescale",
      detail::ElementRange<Exec>(ctx.exec(), 0, static_cast<Index>(sums.extent(0))),
      KOKKOS_LAMBDA(Index i) { sums(i) = sums(i) / divide * multiply; });
}

/// The same for window sums. Asynchronous.
template <class Exec, class Provider>
void rescale(Context<Exec, Provider>& ctx, Window<Exec> const& window, std::int64_t multiply,
             std::int64_t divide) {
  DASHI_EXPECTS(multiply > 0 && divide > 0, "factors must be positive");
  VectorOf<std::uint64_t, Exec> const low = window.low;
  VectorOf<std::int64_t, Exec> const high = window.high;
  Kokkos::parallel_for(
      "dashi::kernels::rescale",
      detail::ElementRange<Exec>(ctx.exec(), 0, static_cast<Index>(low.extent(0))),
      KOKKOS_LAMBDA(Index i) {
        WideInt<2> sum;
        sum.limb[0] = low(i);
        sum.limb[1] = static_cast<std::uint64_t>(high(i));
        bool const negative = sum.is_negative();
        if (negative) {
          sum.negate();
        }
        sum.divide(static_cast<std::uint64_t>(divide));
        sum.multiply(static_cast<std::uint64_t>(multiply));
        if (negative) {
          sum.negate();
        }
        low(i) = sum.limb[0];
        high(i) = static_cast<std::int64_t>(sum.limb[1]);
      });
}

/// Sums in units of 2^-24 as window sums: what a soup does when its weights outgrow one word.
/// Values must keep |sum| * 2^-24 below 2^48; those of members outside the window must be moved to
/// the spill list by the caller first. Asynchronous.
template <class Exec, class Provider>
void widen_sums(Context<Exec, Provider>& ctx, VectorOf<std::int64_t const, Exec> sums,
                Window<Exec> const& window) {
  DASHI_EXPECTS(sums.extent(0) == window.low.extent(0) && sums.extent(0) == window.high.extent(0),
                "the window must have the extent of the sums");
  VectorOf<std::uint64_t, Exec> const low = window.low;
  VectorOf<std::int64_t, Exec> const high = window.high;
  constexpr int shift = half_sum_unit - window_unit;  // 55
  Kokkos::parallel_for(
      "dashi::kernels::widen_sums",
      detail::ElementRange<Exec>(ctx.exec(), 0, static_cast<Index>(sums.extent(0))),
      KOKKOS_LAMBDA(Index i) {
        low(i) = static_cast<std::uint64_t>(sums(i)) << shift;
        high(i) = sums(i) >> (64 - shift);
      });
}

}  // namespace dashi::kernels
