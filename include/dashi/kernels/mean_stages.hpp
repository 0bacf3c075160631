// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>
#include <dashi/kernels/mean_rounding.hpp>

#include <Kokkos_Macros.hpp>

#include <cstdint>
#include <type_traits>

namespace dashi::kernels {

namespace detail {

/// Exponents of the largest and the smallest non-zero number in each 16-bit lane.
template <class H>
struct ExponentRange {
  H largest = H::splat(0);
  H least = H::splat(0xffff);

  KOKKOS_FORCEINLINE_FUNCTION void include(H const& numbers) {
    H const magnitude = numbers & H::splat(0x7fff);
    largest = larger(largest, magnitude);
    least = smaller(least, magnitude - H::splat(1));  // zero wraps to the largest: left out
  }

  /// Where the exponents are further apart than `spread`, above `highest` or below `lowest`.
  template <class In>
  KOKKOS_FORCEINLINE_FUNCTION auto exceeds(int spread, int highest, int lowest) const {
    using Mask = typename H::Mask;
    auto const top = (largest >> FloatFormat<In>::fraction_bits).template as<std::int16_t>();
    auto const bottom = (least >> FloatFormat<In>::fraction_bits).template as<std::int16_t>();
    return (top > bottom + Mask::splat(static_cast<std::int16_t>(spread))) |
           (top > Mask::splat(static_cast<std::int16_t>(highest))) |
           (Mask::splat(static_cast<std::int16_t>(lowest)) > bottom);
  }
};

}  // namespace detail

/// 2 * N elements of a 16-bit format summed in float, written to out; returns where the result is
/// not proven (all ones). Elements 2i and 2i + 1 share a 32-bit word, so that widening is one or
/// few operations without a permutation.
template <class In, class Out, template <class, int> class Lanes, int N>
KOKKOS_FORCEINLINE_FUNCTION auto mean_in_float(In const* const* members, float const* weights,
                                               MeanConstants const& c, std::int64_t at, Out* out) {
  using H = Lanes<std::uint16_t, 2 * N>;
  using W = Lanes<std::uint32_t, N>;
  using F = Lanes<float, N>;
  detail::ExponentRange<H> range;
  F low_sum = F::splat(-0.0F);
  F high_sum = F::splat(-0.0F);
  for (int k = 0; k < c.count; ++k) {
    auto const* from = reinterpret_cast<std::uint16_t const*>(members[k]) + at;
    H::prefetch(from);
    H const numbers = H::load(from);
    range.include(numbers);
    W const words = numbers.template as<std::uint32_t>();
    F const w = F::splat(weights[k]);
    low_sum = low_sum + w * detail::widen_low_half<In>(words);
    high_sum = high_sum + w * detail::widen_high_half<In>(words);
  }
  detail::FloatQuotients<Out, F> const quotients(low_sum, high_sum, c);
  quotients.bits.template as<std::uint16_t>().store(reinterpret_cast<std::uint16_t*>(out));
  return range.template exceeds<In>(c.float_spread, c.float_exponent, c.float_least) |
         quotients.unproven;
}

/// The same 2 * N elements summed in double.
template <class In, class Out, template <class, int> class Lanes, int N>
KOKKOS_FORCEINLINE_FUNCTION auto mean_of_pairs_in_double(In const* const* members,
                                                         std::int64_t const* weights,
                                                         MeanConstants const& c, std::int64_t at,
                                                         Out* out) {
  using H = Lanes<std::uint16_t, 2 * N>;
  using W = Lanes<std::uint32_t, N>;
  using D = Lanes<double, N / 2>;
  detail::ExponentRange<H> range;
  D sums[4];
  for (D& sum : sums) {
    sum = D::splat(-0.0);
  }
  for (int k = 0; k < c.count; ++k) {
    auto const* from = reinterpret_cast<std::uint16_t const*>(members[k]) + at;
    H::prefetch(from);
    H const numbers = H::load(from);
    range.include(numbers);
    W const words = numbers.template as<std::uint32_t>();
    D const w = D::splat(static_cast<double>(weights[k]));
    auto const low = detail::widen_low_half<In>(words);
    auto const high = detail::widen_high_half<In>(words);
    sums[0] = sums[0] + w * low.template part<0>().template to<double>();
    sums[1] = sums[1] + w * low.template part<1>().template to<double>();
    sums[2] = sums[2] + w * high.template part<0>().template to<double>();
    sums[3] = sums[3] + w * high.template part<1>().template to<double>();
  }
  W bits[2];
  W unproven[2];
  for (int half = 0; half < 2; ++half) {
    auto const first = detail::round_double_quotient<Out>(sums[2 * half], c);
    auto const second = detail::round_double_quotient<Out>(sums[2 * half + 1], c);
    bits[half] =
        W::join(first.bits.template to<std::uint32_t>(), second.bits.template to<std::uint32_t>());
    unproven[half] =
        W::join(first.unproven.template as<std::uint64_t>().template to<std::uint32_t>(),
                second.unproven.template as<std::uint64_t>().template to<std::uint32_t>());
  }
  ((bits[0] & W::splat(0xffffU)) | (bits[1] << 16))
      .template as<std::uint16_t>()
      .store(reinterpret_cast<std::uint16_t*>(out));
  W const rounding = (unproven[0] & W::splat(0xffffU)) | (unproven[1] & W::splat(0xffff0000U));
  constexpr int finite = (1 << FloatFormat<In>::exponent_bits) - 2;
  return range.template exceeds<In>(c.double_spread, finite, 0) |
         rounding.template as<std::int16_t>();
}

/// N elements summed in double, written to out; returns where the result is not proven.
template <class In, class Out, template <class, int> class Lanes, int N>
KOKKOS_FORCEINLINE_FUNCTION auto mean_in_double(In const* const* members,
                                                std::int64_t const* weights, MeanConstants const& c,
                                                std::int64_t at, Out* out) {
  using F = Lanes<float, N>;
  using W = Lanes<std::uint32_t, N>;
  using D = Lanes<double, N>;
  W largest = W::splat(0);
  W least = W::splat(~0U);
  D sum = D::splat(-0.0);
  for (int k = 0; k < c.count; ++k) {
    F::prefetch(members[k] + at);
    F const x = detail::load_as_float<In, Lanes, N>(members[k] + at);
    W const magnitude = x.template as<std::uint32_t>() & W::splat(0x7fffffffU);
    largest = larger(largest, magnitude);
    least = smaller(least, magnitude - W::splat(1));
    sum = sum + D::splat(static_cast<double>(weights[k])) * x.template to<double>();
  }
  constexpr int f = FloatFormat<float>::fraction_bits;
  auto const top = (largest >> f).template as<std::int32_t>();
  auto const bottom = (least >> f).template as<std::int32_t>();
  // The largest finite exponent of In, as a float's; beyond it are infinities and NaN.
  constexpr int highest = std::is_same_v<In, Float16> ? 30 + 112 : 254;
  auto const unproven =
      (top > bottom + W::Mask::splat(c.double_spread)) | (top > W::Mask::splat(highest));
  if constexpr (std::is_same_v<Out, double>) {
    (sum / D::splat(c.double_total)).store(out);
    return unproven.template to<std::int64_t>();
  } else {
    auto const rounded = detail::round_double_quotient<Out>(sum, c);
    if constexpr (std::is_same_v<Out, float>) {
      rounded.bits.template to<std::uint32_t>().template as<float>().store(out);
    } else {
      rounded.bits.template to<std::uint16_t>().store(reinterpret_cast<std::uint16_t*>(out));
    }
    return unproven.template to<std::int64_t>() | rounded.unproven;
  }
}

}  // namespace dashi::kernels
