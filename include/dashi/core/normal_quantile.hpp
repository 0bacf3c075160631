// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/fast_math.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>

namespace dashi {

namespace detail {

/// -log(p) for a normal 0 < p < 1, error below 2 units in the last place for p < 1/2.
///
/// p = 2^e m with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m - 1) / (m + 1), by its
/// series, |s| < 0.172.
KOKKOS_INLINE_FUNCTION double minus_log(double p) {
  constexpr std::uint64_t sqrt_half = 0x3fe6a09e667f3bcdULL;
  auto const bits = __builtin_bit_cast(std::uint64_t, p);
  auto const e = static_cast<std::int64_t>(bits - sqrt_half) >> 52;
  double const m = __builtin_bit_cast(double, bits - (static_cast<std::uint64_t>(e) << 52));
  double const f = m - 1.0;
  double const s = f / (m + 1.0);
  double const z = s * s;
  double r = 2.0 / 23;
  r = Kokkos::fma(r, z, 2.0 / 21);
  r = Kokkos::fma(r, z, 2.0 / 19);
  r = Kokkos::fma(r, z, 2.0 / 17);
  r = Kokkos::fma(r, z, 2.0 / 15);
  r = Kokkos::fma(r, z, 2.0 / 13);
  r = Kokkos::fma(r, z, 2.0 / 11);
  r = Kokkos::fma(r, z, 2.0 / 9);
  r = Kokkos::fma(r, z, 2.0 / 7);
  r = Kokkos::fma(r, z, 2.0 / 5);
  r = Kokkos::fma(r, z, 2.0 / 3);
  constexpr double ln2_high = 0x1.62e42fefap-1;  // 35 bits: times e exact
  constexpr double ln2_low = 0x1.cf79abc9e3b3ap-40;
  auto const n = static_cast<double>(e);
  double const small = Kokkos::fma(n, ln2_low, Kokkos::fma(s * z, r, 2.0 * s));
  return -Kokkos::fma(n, ln2_high, small);
}

/// Ratio of two polynomials of degree 7; the denominator's constant is 1.
KOKKOS_INLINE_FUNCTION double rational(double x, double const (&p)[8], double const (&q)[7]) {
  double numerator = p[7];
  double denominator = q[6];
  for (int i = 6; i >= 0; --i) {
    numerator = Kokkos::fma(numerator, x, p[i]);
  }
  for (int i = 5; i >= 0; --i) {
    denominator = Kokkos::fma(denominator, x, q[i]);
  }
  return numerator / Kokkos::fma(denominator, x, 1.0);
}

}  // namespace detail

/// The z with P(Z < z) = p for a standard normal Z, error below 4 units in the last place; 2^-1022
/// <= p < 1.
///
/// M. J. Wichura, "Algorithm AS 241: The percentage points of the normal distribution", Applied
/// Statistics 37 (1988) 477-484, coefficients of PPND16. Only +, -, *, /, square root and explicit
/// fma, no product that a compiler could contract and no libm: the same bits everywhere.
KOKKOS_INLINE_FUNCTION double normal_quantile(double p) {
  constexpr double a[8] = {3.3871328727963666080,    1.3314166789178437745e+2,
                           1.9715909503065514427e+3, 1.3731693765509461125e+4,
                           4.5921953931549871457e+4, 6.7265770927008700853e+4,
                           3.3430575583588128105e+4, 2.5090809287301226727e+3};
  constexpr double b[7] = {4.2313330701600911252e+1, 6.8718700749205790830e+2,
                           5.3941960214247511077e+3, 2.1213794301586595867e+4,
                           3.9307895800092710610e+4, 2.8729085735721942674e+4,
                           5.2264952788528545610e+3};
  constexpr double c[8] = {1.42343711074968357734,    4.63033784615654529590,
                           5.76949722146069140550,    3.64784832476320460504,
                           1.27045825245236838258,    2.41780725177450611770e-1,
                           2.27238449892691845833e-2, 7.74545014278341407640e-4};
  constexpr double d[7] = {2.05319162663775882187,    1.67638483018380384940,
                           6.89767334985100004550e-1, 1.48103976427480074590e-1,
                           1.51986665636164571966e-2, 5.47593808499534494600e-4,
                           1.05075007164441684324e-9};
  constexpr double e[8] = {6.65790464350110377720,    5.46378491116411436990,
                           1.78482653991729133580,    2.96560571828504891230e-1,
                           2.65321895265761230930e-2, 1.24266094738807843860e-3,
                           2.71155556874348757815e-5, 2.01033439929228813265e-7};
  constexpr double f[7] = {5.99832206555887937690e-1, 1.36929880922735805310e-1,
                           1.48753612908506148525e-2, 7.86869131145613259100e-4,
                           1.84631831751005468180e-5, 1.42151175831644588870e-7,
                           2.04426310338993978564e-15};
  double const q = p - 0.5;
  if (q <= 0.425 && q >= -0.425) {
    return q * detail::rational(Kokkos::fma(-q, q, 0.180625), a, b);
  }
  double const tail = q < 0.0 ? p : 1.0 - p;
  double const r = Kokkos::sqrt(detail::minus_log(tail));
  double const z = r <= 5.0 ? detail::rational(r - 1.6, c, d) : detail::rational(r - 5.0, e, f);
  return q < 0.0 ? -z : z;
}

}  // namespace dashi
