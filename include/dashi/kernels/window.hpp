// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/kernels/wide_int.hpp>

#include <cstdint>

namespace dashi::kernels {

/// Exact sums Σ w x in units of 2^-24, the smallest Float16: one word an element. Never overflows
/// while Σ|w| <= 8 392 706.
inline constexpr int half_sum_unit = -24;
inline constexpr std::int64_t half_sum_capacity = 8'392'706;

/// Exact sums of the numbers that lie in the window: |x| < 2^8 and x a multiple of 2^-79. 128-bit
/// two's complement in units of 2^-79: 1 sign, 40 capacity, 8 integer and 79 fraction bits; Σ|w| <
/// 2^40. Every other finite number belongs to a sparse list of WideSum (wide_sum.hpp). Which of the
/// two holds x depends on x alone.
inline constexpr int window_unit = -79;
inline constexpr int window_top = 8;
inline constexpr std::int64_t window_capacity = std::int64_t{1} << 40;

/// The two words of each element's 128-bit sum.
template <class Exec>
struct Window {
  VectorOf<std::uint64_t, Exec> low;
  VectorOf<std::int64_t, Exec> high;
};

/// Whether a number of at most 24 significant bits lies in the window.
KOKKOS_INLINE_FUNCTION constexpr bool in_window(float x) {
  std::uint32_t const magnitude = __builtin_bit_cast(std::uint32_t, x) & 0x7fffffffU;
  std::uint32_t const exponent = magnitude >> 23;
  if (exponent >= 127 + window_top) {
    return false;
  }
  // x = significand * 2^(place - 149); its lowest set bit must not lie below the unit.
  std::uint32_t const significand = (magnitude & 0x7fffffU) | (exponent > 0 ? 0x800000U : 0);
  std::uint32_t const place = exponent > 0 ? exponent - 1 : 0;
  constexpr std::uint32_t unit_place = 149 + window_unit;
  if (significand == 0 || place >= unit_place) {
    return true;
  }
  std::uint32_t const below = unit_place - place;
  return below < 24 && significand >> below << below == significand;
}

}  // namespace dashi::kernels
