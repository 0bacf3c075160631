// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>
#include <dashi/kernels/inexact_flag.hpp>
#include <dashi/kernels/mean_rounding.hpp>
#include <dashi/kernels/mean_stages.hpp>

#include <Kokkos_Macros.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace dashi::kernels {

/// Whether the stage below exists for these formats and lanes.
template <class In, class Out, template <class, int> class Lanes>
inline constexpr bool mean_has_flag_stage =
    std::is_same_v<In, BFloat16>&& std::is_same_v<Out, BFloat16>&& InexactFlag<Lanes>::available;

namespace detail {

/// 4 N elements summed in float, by nothing but additions: of N words and of the next N the low
/// halves, then the high ones.
template <class In, template <class, int> class Lanes, int N>
KOKKOS_FORCEINLINE_FUNCTION void sum_pairs(In const* const* members, float const* weights,
                                           int count, std::int64_t at, float* to) {
  using H = Lanes<std::uint16_t, 2 * N>;
  using F = Lanes<float, N>;
  F low = F::splat(-0.0F), high = low, next_low = low, next_high = low;
  for (int k = 0; k < count; ++k) {
    auto const* from = reinterpret_cast<std::uint16_t const*>(members[k]) + at;
    H::prefetch(from);
    H::prefetch(from + 2 * N);
    auto const words = H::load(from).template as<std::uint32_t>();
    auto const next = H::load(from + 2 * N).template as<std::uint32_t>();
    F const w = F::splat(weights[k]);
    low = low + w * widen_low_half<In>(words);
    high = high + w * widen_high_half<In>(words);
    next_low = next_low + w * widen_low_half<In>(next);
    next_high = next_high + w * widen_high_half<In>(next);
  }
  low.store(to);
  high.store(to + N);
  next_low.store(to + 2 * N);
  next_high.store(to + 3 * N);
}

/// The upper half of a word is the exact quotient rounded to 16 bits, ties to even.
template <class F>
KOKKOS_FORCEINLINE_FUNCTION auto scaled_half(F const& sum, MeanConstants const& c) {
  using W = decltype(sum.template as<std::uint32_t>());
  W const q = (sum * F::splat(c.float_reciprocal)).template as<std::uint32_t>();
  return q + W::splat(0x7fffU) + ((q >> 16) & W::splat(1U));
}

/// As FloatQuotients where total is a power of two.
template <class F>
KOKKOS_FORCEINLINE_FUNCTION auto scaled_pairs(F const& low, F const& high, MeanConstants const& c) {
  using W = decltype(low.template as<std::uint32_t>());
  return (scaled_half(low, c) >> 16) | (scaled_half(high, c) & W::splat(0xffff0000U));
}

}  // namespace detail

/// What the stage below knows of its results.
enum class FlagStage : unsigned char {
  exact,    ///< all are proven
  rounded,  ///< an addition was rounded, so those of exponents that exceed are not
  outside,  ///< a quotient may be subnormal or overflow
};

/// Whether an element of 2 * N may have a sum that is not exact in float, or a quotient that is
/// not normal: the test of mean_in_float.
template <class In, template <class, int> class Lanes, int N>
KOKKOS_FORCEINLINE_FUNCTION bool exponents_exceed(In const* const* members, MeanConstants const& c,
                                                  std::int64_t at) {
  using H = Lanes<std::uint16_t, 2 * N>;
  detail::ExponentRange<H> range;
  for (int k = 0; k < c.count; ++k) {
    range.include(H::load(reinterpret_cast<std::uint16_t const*>(members[k]) + at));
  }
  return range.template exceeds<In>(c.float_spread, c.float_exponent, c.float_least).any();
}

/// 2 * N * G elements (G even) as mean_in_float, each group of 2 * N alike. The processor's flag
/// tells that no addition was rounded, and sums that are neither so small nor so large that a
/// quotient leaves the normal numbers do not need that of their members.
template <class In, class Out, template <class, int> class Lanes, int N, int G>
KOKKOS_FORCEINLINE_FUNCTION FlagStage mean_by_flag(InexactFlag<Lanes> const& flag,
                                                   In const* const* members, float const* weights,
                                                   MeanConstants const& c, std::int64_t at,
                                                   Out* out) {
  using W = Lanes<std::uint32_t, N>;
  using F = Lanes<float, N>;
  constexpr std::size_t size = 2 * N;
  alignas(64) float sums[std::size_t{G} * size];
  flag.clear();
  for (int g = 0; g < G; g += 2) {
    detail::sum_pairs<In, Lanes, N>(members, weights, c.count,
                                    at + g * static_cast<std::int64_t>(size),
                                    sums + static_cast<std::size_t>(g) * size);
  }
  bool const rounded = flag.raised(sums);
  W largest = W::splat(0U);
  W least = W::splat(~0U);
  for (int g = 0; g < G; ++g) {
    float const* const from = sums + static_cast<std::size_t>(g) * size;
    F const low = F::load(from);
    F const high = F::load(from + N);
    W const a = low.template as<std::uint32_t>() & W::splat(0x7fffffffU);
    W const b = high.template as<std::uint32_t>() & W::splat(0x7fffffffU);
    largest = larger(larger(largest, a), b);
    least = smaller(smaller(least, a - W::splat(1U)), b - W::splat(1U));  // zero: left out
    W const bits = c.total_is_power_of_two ? detail::scaled_pairs(low, high, c)
                                           : detail::FloatQuotients<Out, F>(low, high, c).bits;
    bits.template as<std::uint16_t>().store(reinterpret_cast<std::uint16_t*>(out) +
                                            static_cast<std::size_t>(g) * size);
  }
  std::uint32_t largest_of[std::size_t{N}];
  std::uint32_t least_of[std::size_t{N}];
  largest.store(largest_of);
  least.store(least_of);
  for (int i = 0; i < N; ++i) {
    if (largest_of[i] >= c.most_sum || least_of[i] < c.least_sum - 1) {
      return FlagStage::outside;
    }
  }
  return rounded ? FlagStage::rounded : FlagStage::exact;
}

}  // namespace dashi::kernels
