// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/fast_math.hpp>
#include <dashi/core/float_convert.hpp>

#include <Kokkos_Macros.hpp>

#include <cstdint>

namespace dashi::kernels {

namespace detail {

KOKKOS_FORCEINLINE_FUNCTION float power_of_two(std::int32_t exponent) noexcept {
  return dashi::detail::same_bits<float>(static_cast<std::uint32_t>(exponent + 127) << 23);
}

/// 2^(exponent - 1024).
KOKKOS_FORCEINLINE_FUNCTION double shifted_power_of_two(std::uint64_t exponent) noexcept {
  return dashi::detail::same_bits<double>((exponent - 1) << 52);
}

}  // namespace detail

/// e^x with arithmetic only, so that loops over it vectorise and every machine gives the same
/// number up to contraction.
///
/// x = n ln 2 + r with |r| <= (ln 2) / 2; e^r = 1 + r + r^2 P(r), P interpolating at Chebyshev
/// nodes; times 2^n in two steps. Error below 1.1 units in the last place for normal results (1.5
/// without fused multiply-add); subnormal results are rounded once more; 0 and infinity beyond,
/// NaN stays NaN.
KOKKOS_FORCEINLINE_FUNCTION float exponential(float x) noexcept {
  constexpr float round = 12582912.0F;  // 1.5 * 2^23: adding it leaves the integer in the low bits
  float const above = x < -104.0F ? -104.0F : x;
  float const clamped = above > 89.0F ? 89.0F : above;
  float const shifted = clamped * 1.44269504F + round;
  float const n = shifted - round;
  float const r = (clamped - n * 0.693359375F) - n * -2.12194440e-4F;
  float p = 1.392617750e-3F;
  p = p * r + 8.363174180e-3F;
  p = p * r + 4.166655465e-2F;
  p = p * r + 1.666657702e-1F;
  p = p * r + 0.5F;
  float const power = (p * r) * r + r + 1.0F;
  auto const exponent = static_cast<std::int32_t>(dashi::detail::same_bits<std::uint32_t>(shifted) -
                                                  dashi::detail::same_bits<std::uint32_t>(round));
  std::int32_t const half = exponent >> 1;
  return (power * detail::power_of_two(half)) * detail::power_of_two(exponent - half);
}

KOKKOS_FORCEINLINE_FUNCTION double exponential(double x) noexcept {
  constexpr double round = 6755399441055744.0;  // 1.5 * 2^52
  double const above = x < -746.0 ? -746.0 : x;
  double const clamped = above > 710.0 ? 710.0 : above;
  double const shifted = clamped * 1.4426950408889634 + round;
  double const n = shifted - round;
  double const r = (clamped - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  double p = 2.0914680780540267e-09;
  p = p * r + 2.5105208339987698e-08;
  p = p * r + 2.7557273657975953e-07;
  p = p * r + 2.7557255421023506e-06;
  p = p * r + 2.4801587325536023e-05;
  p = p * r + 1.9841269874804214e-04;
  p = p * r + 1.3888888888883752e-03;
  p = p * r + 8.33333333332614e-03;
  p = p * r + 4.166666666666667e-02;
  p = p * r + 0.1666666666666667;
  p = p * r + 0.5;
  double const power = (p * r) * r + r + 1.0;
  std::uint64_t const exponent = dashi::detail::same_bits<std::uint64_t>(shifted) -
                                 dashi::detail::same_bits<std::uint64_t>(round) + 2048;
  std::uint64_t const half = exponent >> 1;  // never negative: arithmetic shifts do not vectorise
  return (power * detail::shifted_power_of_two(half)) *
         detail::shifted_power_of_two(exponent - half);
}

/// 1 / (1 + e^-x).
template <class Real>
KOKKOS_FORCEINLINE_FUNCTION Real sigmoid(Real x) noexcept {
  return Real(1) / (Real(1) + exponential(-x));
}

}  // namespace dashi::kernels
