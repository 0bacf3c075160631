// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>

#include <Kokkos_Macros.hpp>

#include <cstdint>
#include <type_traits>

namespace dashi::kernels {

/// What the fast stages of an exact mean need to know, computed once a call (mean_constants).
///
/// A sum of integer-weighted numbers is exact in a format of p bits, in any order, when
/// e_max + 1 + L - (e_min - f) <= p, with e_max and e_min the exponents of the largest and smallest
/// non-zero members of the element, f their fraction bits and Σ|w| <= 2^L: every partial sum is
/// then a multiple of the smallest unit that is below 2^p units.
struct MeanConstants {
  int count;                ///< members of non-zero weight
  int weight_bits;          ///< L
  std::int64_t total;       ///< Σ w > 0
  int float_spread;         ///< largest e_max - e_min proven in float; < 0: stage off
  int double_spread;        ///< the same in double
  int float_exponent;       ///< members above this biased exponent leave the float stage
  int float_least;          ///< non-zero members below this biased exponent do, too
  std::uint32_t least_sum;  ///< non-zero sums below these bits of a float leave mean_by_flag()
  std::uint32_t most_sum;   ///< those of these and above do, too
  bool total_is_power_of_two;
  float float_total;
  float float_reciprocal;  ///< of total, rounded: it only finds candidates
  double double_total;
  double double_reciprocal;
};

namespace detail {

/// Bits needed below the result's last place and for the total, so that midpoint * total is exact.
template <class Out, class Compute>
constexpr bool midpoint_is_exact(std::int64_t total) {
  constexpr int free_bits =
      FloatFormat<Compute>::fraction_bits - FloatFormat<Out>::fraction_bits - 1;
  if constexpr (free_bits <= 0) {
    return false;
  } else {
    return total < std::int64_t{1} << free_bits;
  }
}

/// Two 16-bit numbers a word to float: the one in the low half, and the one in the high half.
template <class In, class W>
KOKKOS_FORCEINLINE_FUNCTION auto widen_high_half(W const& words) {
  if constexpr (std::is_same_v<In, BFloat16>) {
    return (words & W::splat(0xffff0000U)).template as<float>();
  } else {
    // Arithmetic shift keeps the sign on top; the exponent is rebiased by an addition. Subnormals
    // come out as 2^-14 + x after one more exponent step, so subtracting 2^-14 makes them right.
    W const shifted = (words.template as<std::int32_t>() >> 3).template as<std::uint32_t>() &
                      W::splat(0x8fffe000U);
    W const magnitude = shifted & W::splat(0x0fffe000U);
    W const normal = shifted + W::splat(112U << 23);
    W const offset = (shifted & W::splat(0x80000000U)) | W::splat(113U << 23);
    auto const subnormal =
        (normal + W::splat(1U << 23)).template as<float>() - offset.template as<float>();
    auto const is_subnormal =
        W::splat(0x00800000U).template as<std::int32_t>() > magnitude.template as<std::int32_t>();
    // A zero keeps its sign bit: +0 - (+0) above gives +0 for both signs.
    W const signed_subnormal = (subnormal.template as<std::uint32_t>() & W::splat(0x7fffffffU)) |
                               (shifted & W::splat(0x80000000U));
    return select(is_subnormal, signed_subnormal, normal).template as<float>();
  }
}

template <class In, class W>
KOKKOS_FORCEINLINE_FUNCTION auto widen_low_half(W const& words) {
  if constexpr (std::is_same_v<In, BFloat16>) {
    return (words << 16).template as<float>();
  } else {
    return widen_high_half<In>(words << 16);
  }
}

/// Result bits in the low half of each word, and where they are not proven.
template <class W>
struct Rounded {
  W bits;
  typename W::Mask unproven;
};

/// Where magnitude (the bits of a number) is above midpoint, or equal to it and `below`, the
/// result's neighbour below, is odd. A function, not a lambda: every function that handles lanes
/// must be inlined into one with the right target.
template <class W, class F>
KOKKOS_FORCEINLINE_FUNCTION auto is_above(W const& magnitude, W const& below, F const& midpoint) {
  return (magnitude + (below & W::splat(1U))).template as<std::int32_t>() >
         midpoint.template as<std::int32_t>();
}

/// low / total and high / total to a 16-bit format, rounded once, in the halves of each word, and
/// where they are not proven; the sums and total are exact in float.
///
/// A candidate quotient picks the result's neighbour towards zero and the midpoint beyond it;
/// comparing the sum with midpoint * total, which is exact, decides. A tie goes to the even
/// neighbour because an odd one adds one unit to the sum's magnitude. The candidate may be off by
/// far more than its rounding error.
template <class Out, class F>
struct FloatQuotients;

/// Neither sum is 0 or has a subnormal quotient (MeanConstants::float_least).
template <class F>
struct FloatQuotients<BFloat16, F> {
  using W = decltype(F{}.template as<std::uint32_t>());
  using Mask = decltype(W{}.template as<std::int16_t>());
  W bits;
  Mask unproven;

  KOKKOS_FORCEINLINE_FUNCTION FloatQuotients(F const& low, F const& high, MeanConstants const& c)
      : bits((rounded(low, c) >> 16) | rounded(high, c)), unproven(Mask::splat(0)) {}

private:
  /// In the upper half; the lower is 0. The sum, the candidate and the product have the same sign,
  /// so their bits compare as their magnitudes do.
  KOKKOS_FORCEINLINE_FUNCTION static W rounded(F const& sum, MeanConstants const& c) {
    W const below =
        (sum * F::splat(c.float_reciprocal)).template as<std::uint32_t>() & W::splat(0xffff0000U);
    // The midpoint above +0 would be slow to multiply.
    W const midpoint = larger(below | W::splat(0x8000U), W::splat(0x00800000U));
    W const product =
        (midpoint.template as<float>() * F::splat(c.float_total)).template as<std::uint32_t>();
    W const odd = (below >> 16) & W::splat(1U);
    W const above = product - (sum.template as<std::uint32_t>() + odd);  // sign bit: above midpoint
    return below + ((above & W::splat(0x80000000U)) >> 15);
  }
};

template <class F>
struct FloatQuotients<Float16, F> {
  using W = decltype(F{}.template as<std::uint32_t>());
  using Mask = decltype(W{}.template as<std::int16_t>());
  W bits;
  Mask unproven;

  KOKKOS_FORCEINLINE_FUNCTION FloatQuotients(F const& low, F const& high, MeanConstants const& c) {
    Rounded<W> const a = rounded(low, c);
    Rounded<W> const b = rounded(high, c);
    // An unproven result may have more than 16 bits: it must not touch its neighbour.
    bits = (a.bits & W::splat(0xffffU)) | (b.bits << 16);
    unproven = ((a.unproven.template as<std::uint32_t>() & W::splat(0xffffU)) |
                (b.unproven.template as<std::uint32_t>() & W::splat(0xffff0000U)))
                   .template as<std::int16_t>();
  }

private:
  KOKKOS_FORCEINLINE_FUNCTION static Rounded<W> rounded(F const& sum, MeanConstants const& c) {
    W const sum_bits = sum.template as<std::uint32_t>();
    W const sign = sum_bits & W::splat(0x80000000U);
    W const magnitude = sum_bits & W::splat(0x7fffffffU);
    F const quotient = magnitude.template as<float>() * F::splat(c.float_reciprocal);
    W const q = quotient.template as<std::uint32_t>();
    W const below = q & W::splat(0x7fffe000U);
    F const midpoint = (below | W::splat(0x1000U)).template as<float>();
    auto const is_subnormal =
        W::splat(113U << 23).template as<std::int32_t>() > q.template as<std::int32_t>();
    // Subnormal results are multiples of 2^-24: count them.
    W const small = smaller(q, W::splat(113U << 23));
    auto const count = (small.template as<float>() * F::splat(0x1p24F)).template to<std::int32_t>();
    F const subnormal_midpoint =
        (count.template to<float>() + F::splat(0.5F)) * F::splat(c.float_total * 0x1p-24F);
    W const result = select(is_subnormal, count.template as<std::uint32_t>(),
                            (below - W::splat(112U << 23)) >> 13);
    auto const up =
        is_above(magnitude, result,
                 select(is_subnormal, subnormal_midpoint, midpoint * F::splat(c.float_total)));
    W const value = result - up.template as<std::uint32_t>();
    auto const too_large =
        value.template as<std::int32_t>() >
        W::Mask::splat(static_cast<std::int32_t>(FloatFormat<Float16>::largest_finite));
    return {value | (sign >> 16), too_large};
  }
};

/// sum / total to Out (16-bit or float), rounded once; sum and total exact in double. Results that
/// are subnormal or too large are reported as unproven. The same reasoning as in float.
template <class Out, class D>
KOKKOS_FORCEINLINE_FUNCTION auto round_double_quotient(D const& sum, MeanConstants const& c) {
  using O = FloatFormat<Out>;
  using W = decltype(sum.template as<std::uint64_t>());
  constexpr int cut = FloatFormat<double>::fraction_bits - O::fraction_bits;
  constexpr std::uint64_t rebias = std::uint64_t{FloatFormat<double>::bias - O::bias}
                                   << O::fraction_bits;
  constexpr std::uint64_t smallest_normal = std::uint64_t{FloatFormat<double>::bias - O::bias + 1}
                                            << FloatFormat<double>::fraction_bits;
  W const bits = sum.template as<std::uint64_t>();
  W const magnitude = bits & W::splat(FloatFormat<double>::magnitude_mask);
  W const sign =
      (bits & W::splat(FloatFormat<double>::sign_mask)) >> (64 - 8 * static_cast<int>(sizeof(Out)));
  W const q = (magnitude.template as<double>() * D::splat(c.double_reciprocal))
                  .template as<std::uint64_t>();
  W const below = q >> cut;
  W const midpoint = (below << cut) | W::splat(std::uint64_t{1} << (cut - 1));
  auto const is_small =
      W::splat(smallest_normal).template as<std::int64_t>() > q.template as<std::int64_t>();
  D const product =
      select(is_small, D::splat(1.0), midpoint.template as<double>()) * D::splat(c.double_total);
  W const odd = below & W::splat(1U);
  auto const up =
      (magnitude + odd).template as<std::int64_t>() > product.template as<std::int64_t>();
  W const rounded = below - W::splat(rebias) - up.template as<std::uint64_t>();
  auto const is_zero = W::Mask::splat(1) > magnitude.template as<std::int64_t>();
  auto const too_large = rounded.template as<std::int64_t>() >
                         W::Mask::splat(static_cast<std::int64_t>(O::largest_finite));
  return Rounded<W>{select(is_zero, W::splat(0U), rounded) | sign,
                    (is_small | too_large) & (is_zero ^ W::Mask::splat(-1))};
}

/// Eight members' worth of In as float, in order.
template <class In, template <class, int> class Lanes, int N>
KOKKOS_FORCEINLINE_FUNCTION Lanes<float, N> load_as_float(In const* from) {
  if constexpr (std::is_same_v<In, float>) {
    return Lanes<float, N>::load(from);
  } else {
    auto const halves = Lanes<std::uint16_t, N>::load(reinterpret_cast<std::uint16_t const*>(from));
    return widen_low_half<In>(halves.template to<std::uint32_t>());
  }
}

}  // namespace detail

}  // namespace dashi::kernels
