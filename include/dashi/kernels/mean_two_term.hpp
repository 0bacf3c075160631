// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>
#include <dashi/kernels/mean_rounding.hpp>

#include <Kokkos_Macros.hpp>

#include <cstdint>
#include <type_traits>

namespace dashi::kernels {

/// Largest e_max - e_min that the two-term stage proves, for Σ|w| <= 2^L and total < 2^26; < 0:
/// stage off.
constexpr int two_term_spread(int weight_bits, std::int64_t total) {
  int const bits = weight_bits < 1 ? 1 : weight_bits;
  return total < std::int64_t{1} << 26 ? 53 - 2 * bits : -1;
}

namespace detail {

/// All ones where a > b, for bit patterns of numbers that are not negative.
template <class U>
KOKKOS_FORCEINLINE_FUNCTION auto above(U const& a, U const& b) {
  return a.template as<std::int64_t>() > b.template as<std::int64_t>();
}

/// All ones where d is a positive number.
template <class D>
KOKKOS_FORCEINLINE_FUNCTION auto is_positive(D const& d) {
  using S = typename D::Mask;
  return d.template as<std::int64_t>() > S::splat(0);
}

/// All ones where d is a zero of either sign.
template <class D>
KOKKOS_FORCEINLINE_FUNCTION auto is_zero(D const& d) {
  using S = typename D::Mask;
  return S::splat(1) > (d.template as<std::int64_t>() & S::splat(INT64_MAX));
}

/// Exact s - q * total; q within a few units in the last place of s / total, total < 2^26.
template <class D>
KOKKOS_FORCEINLINE_FUNCTION D exact_remainder(D const& s, D const& q, D const& total) {
  using U = decltype(q.template as<std::uint64_t>());
  // 26 and 27 bits: both products are exact, and so is each difference of close numbers.
  D const upper = (q.template as<std::uint64_t>() & U::splat(~((std::uint64_t{1} << 27) - 1)))
                      .template as<double>();
  return (s - upper * total) - (q - upper) * total;
}

/// (s + t) / total as double, rounded once; s > 0, |t| at most half a unit of s. Unproven where the
/// quotient is a power of two, whose neighbours are not equally far.
template <class D>
KOKKOS_FORCEINLINE_FUNCTION auto round_two_term_to_double(D const& s, D const& t,
                                                          MeanConstants const& c) {
  using U = decltype(s.template as<std::uint64_t>());
  D const total = D::splat(c.double_total);
  D const reciprocal = D::splat(c.double_reciprocal);
  D const rough = s * reciprocal;
  D const quotient = rough + (exact_remainder(s, rough, total) + t) * reciprocal;
  U const bits = quotient.template as<std::uint64_t>();
  constexpr std::uint64_t half_unit = std::uint64_t{53} << 52;  // exponent of half the last place
  D const half = ((bits & U::splat(FloatFormat<double>::exponent_mask)) - U::splat(half_unit))
                     .template as<double>();
  D const midpoint = half * total;
  D const remainder = exact_remainder(s, quotient, total);
  D const beyond_upper = (remainder - midpoint) + t;
  D const beyond_lower = (D::splat(0.0) - remainder - midpoint) - t;
  U const odd = U::splat(0) - (bits & U::splat(1));
  U const up = is_positive(beyond_upper).template as<std::uint64_t>() |
               (is_zero(beyond_upper).template as<std::uint64_t>() & odd);
  U const down = is_positive(beyond_lower).template as<std::uint64_t>() |
                 (is_zero(beyond_lower).template as<std::uint64_t>() & odd);
  auto const power_of_two =
      U::Mask::splat(1) >
      (bits & U::splat(FloatFormat<double>::fraction_mask)).template as<std::int64_t>();
  return Rounded<U>{bits - up + down, power_of_two};
}

/// The same to a narrower format: the midpoint test of round_double_quotient with two terms.
template <class Out, class D>
KOKKOS_FORCEINLINE_FUNCTION auto round_two_term(D const& s, D const& t, MeanConstants const& c) {
  if constexpr (std::is_same_v<Out, double>) {
    return round_two_term_to_double(s, t, c);
  } else {
    using O = FloatFormat<Out>;
    using U = decltype(s.template as<std::uint64_t>());
    constexpr int cut = FloatFormat<double>::fraction_bits - O::fraction_bits;
    constexpr std::uint64_t rebias = std::uint64_t{FloatFormat<double>::bias - O::bias}
                                     << O::fraction_bits;
    constexpr std::uint64_t smallest_normal = std::uint64_t{FloatFormat<double>::bias - O::bias + 1}
                                              << FloatFormat<double>::fraction_bits;
    U const q = (s * D::splat(c.double_reciprocal)).template as<std::uint64_t>();
    U const below = q >> cut;
    D const midpoint =
        ((below << cut) | U::splat(std::uint64_t{1} << (cut - 1))).template as<double>();
    D const beyond = (s - midpoint * D::splat(c.double_total)) + t;
    U const odd = U::splat(0) - (below & U::splat(1));
    U const up = is_positive(beyond).template as<std::uint64_t>() |
                 (is_zero(beyond).template as<std::uint64_t>() & odd);
    U const rounded = below - U::splat(rebias) - up;
    auto const outside = above(U::splat(smallest_normal), q) |
                         above(rounded, U::splat(std::uint64_t{O::largest_finite}));
    return Rounded<U>{rounded, outside};
  }
}

}  // namespace detail

/// N elements of double members as an exact sum of two doubles, rounded once; returns where the
/// result is not proven.
///
/// With E the largest exponent, every x is cut at u = 2^(E + 1 + L - 52): x = hi + lo, hi a
/// multiple of u. Σ w hi is below 2^52 units of u, Σ w lo below 2^(E - e_min + 2L) units of the
/// smallest member's last place, so both sums are exact when e_max - e_min <= 53 - 2L. The cut is
/// one addition and one subtraction (pre-rounding as in Demmel and Nguyen's reproducible sums).
/// Reads the members twice, the second time from cache.
template <class Out, template <class, int> class Lanes, int N>
KOKKOS_FORCEINLINE_FUNCTION auto mean_in_two_terms(double const* const* members,
                                                   std::int64_t const* weights,
                                                   MeanConstants const& c, std::int64_t at,
                                                   Out* out) {
  using D = Lanes<double, N>;
  using U = Lanes<std::uint64_t, N>;
  using S = Lanes<std::int64_t, N>;
  U largest = U::splat(0);
  U least = U::splat(static_cast<std::uint64_t>(INT64_MAX));
  D plain = D::splat(-0.0);
  for (int k = 0; k < c.count; ++k) {
    D::prefetch(members[k] + at);
    D const x = D::load(members[k] + at);
    U const magnitude =
        x.template as<std::uint64_t>() & U::splat(FloatFormat<double>::magnitude_mask);
    U const without_zero =
        (magnitude - U::splat(1)) & U::splat(FloatFormat<double>::magnitude_mask);
    largest = select(detail::above(magnitude, largest), magnitude, largest);
    least = select(detail::above(least, without_zero), without_zero, least);
    plain = plain + D::splat(static_cast<double>(weights[k])) * x;
  }
  S const top = (largest >> 52).template as<std::int64_t>();
  S const bottom = (least >> 52).template as<std::int64_t>();
  int const lead = c.weight_bits < 1 ? 1 : c.weight_bits;
  // Within these exponents nothing below is subnormal and nothing overflows.
  S const outside = (top > bottom + S::splat(c.double_spread)) | (S::splat(300) > top) |
                    (top > S::splat(2040 - lead));
  U const cut_exponent = (largest & U::splat(FloatFormat<double>::exponent_mask)) +
                         U::splat(static_cast<std::uint64_t>(1 + lead) << 52);
  D const cut = (cut_exponent | U::splat(std::uint64_t{1} << 51)).template as<double>();
  D high = D::splat(0.0);
  D low = D::splat(0.0);
  for (int k = 0; k < c.count; ++k) {
    D const x = D::load(members[k] + at);
    D const w = D::splat(static_cast<double>(weights[k]));
    D const hi = (x + cut) - cut;
    high = high + w * hi;
    low = low + w * (x - hi);
  }
  D const sum = high + low;
  D const part = sum - high;
  D const rest = (high - (sum - part)) + (low - part);
  U const sign = sum.template as<std::uint64_t>() & U::splat(FloatFormat<double>::sign_mask);
  D const magnitude = (sum.template as<std::uint64_t>() ^ sign).template as<double>();
  auto const rounded = detail::round_two_term<Out>(
      magnitude, (rest.template as<std::uint64_t>() ^ sign).template as<double>(), c);
  constexpr int width = 8 * static_cast<int>(sizeof(Out));
  U const signed_bits = rounded.bits | (sign >> (64 - width));
  // A sum of zeros only has the sign that IEEE addition gives it; a cancelled sum is +0.
  S const no_member = S::splat(1) > largest.template as<std::int64_t>();
  S const no_sum = detail::is_zero(sum);
  U const zero = (plain.template as<std::uint64_t>() & U::splat(FloatFormat<double>::sign_mask)) >>
                 (64 - width);
  U const bits = select(no_member, zero, select(no_sum, U::splat(0), signed_bits));
  if constexpr (width == 64) {
    bits.template as<double>().store(out);
  } else if constexpr (width == 32) {
    bits.template to<std::uint32_t>().template as<float>().store(out);
  } else {
    bits.template to<std::uint16_t>().store(reinterpret_cast<std::uint16_t*>(out));
  }
  S const proven_zero = no_member | (no_sum & (outside ^ S::splat(-1)));
  return (outside | rounded.unproven) & (proven_zero ^ S::splat(-1));
}

}  // namespace dashi::kernels
