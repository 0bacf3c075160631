// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/fast_math.hpp>

#include <cstdint>

namespace dashi {

/// Storage types for small floating-point numbers: their bits, nothing else, the same size in every
/// build and on every device. They have no arithmetic and no comparison; convert
/// (float_convert.hpp), compute, convert back.
struct Float16 {
  std::uint16_t bits;  ///< IEEE binary16
};

struct BFloat16 {
  std::uint16_t bits;  ///< upper half of a binary32
};

struct Float8E4M3 {
  std::uint8_t bits;  ///< OCP 8-bit formats 1.0: no infinity, NaN is s1111111, largest 448
};

struct Float8E5M2 {
  std::uint8_t bits;  ///< OCP 8-bit formats 1.0: infinity and NaN as in IEEE formats, largest 57344
};

struct Float8E4M3Fnuz {
  std::uint8_t bits;  ///< bias 8; no infinity, no negative zero, NaN is 0x80, largest 240
};

struct Float8E5M2Fnuz {
  std::uint8_t bits;  ///< bias 16; no infinity, no negative zero, NaN is 0x80, largest 57344
};

/// Which bit patterns are not ordinary numbers.
enum class SpecialValues : std::uint8_t {
  ieee,           ///< highest exponent: infinity and NaN
  nan_only,       ///< all bits but the sign set: NaN; no infinity
  unsigned_zero,  ///< sign bit alone: NaN; no infinity, no negative zero
};

namespace detail {

template <class BitsType, int FractionBits, int ExponentBits, int Bias, SpecialValues Special>
struct FloatFormatOf {
  using Bits = BitsType;  ///< unsigned integer of the format's size
  static constexpr int fraction_bits = FractionBits;
  static constexpr int exponent_bits = ExponentBits;
  static constexpr int bias = Bias;
  static constexpr SpecialValues special_values = Special;
  static constexpr bool has_infinity = Special == SpecialValues::ieee;

  static constexpr Bits sign_mask = static_cast<Bits>(Bits{1} << (FractionBits + ExponentBits));
  static constexpr Bits magnitude_mask = static_cast<Bits>(sign_mask - 1);
  static constexpr Bits fraction_mask = static_cast<Bits>((Bits{1} << FractionBits) - 1);
  static constexpr Bits exponent_mask = static_cast<Bits>(magnitude_mask - fraction_mask);
  /// Bits of the largest finite number; a larger magnitude is infinity or NaN.
  static constexpr Bits largest_finite =
      static_cast<Bits>(magnitude_mask - (has_infinity ? fraction_mask + Bits{1}
                                          : Special == SpecialValues::nan_only ? Bits{1}
                                                                               : Bits{0}));
  /// Quiet NaN without payload.
  static constexpr Bits nan =
      static_cast<Bits>(has_infinity ? exponent_mask | (Bits{1} << (FractionBits - 1))
                        : Special == SpecialValues::nan_only ? magnitude_mask
                                                             : sign_mask);
};

}  // namespace detail

/// Layout of a floating-point type; defined for the six storage types, float and double.
template <class T>
struct FloatFormat;

template <>
struct FloatFormat<double>
    : detail::FloatFormatOf<std::uint64_t, 52, 11, 1023, SpecialValues::ieee> {};
template <>
struct FloatFormat<float> : detail::FloatFormatOf<std::uint32_t, 23, 8, 127, SpecialValues::ieee> {
};
template <>
struct FloatFormat<Float16> : detail::FloatFormatOf<std::uint16_t, 10, 5, 15, SpecialValues::ieee> {
};
template <>
struct FloatFormat<BFloat16>
    : detail::FloatFormatOf<std::uint16_t, 7, 8, 127, SpecialValues::ieee> {};
template <>
struct FloatFormat<Float8E4M3>
    : detail::FloatFormatOf<std::uint8_t, 3, 4, 7, SpecialValues::nan_only> {};
template <>
struct FloatFormat<Float8E5M2>
    : detail::FloatFormatOf<std::uint8_t, 2, 5, 15, SpecialValues::ieee> {};
template <>
struct FloatFormat<Float8E4M3Fnuz>
    : detail::FloatFormatOf<std::uint8_t, 3, 4, 8, SpecialValues::unsigned_zero> {};
template <>
struct FloatFormat<Float8E5M2Fnuz>
    : detail::FloatFormatOf<std::uint8_t, 2, 5, 16, SpecialValues::unsigned_zero> {};

/// Any type with a FloatFormat.
template <class T>
concept FloatType = requires {
  typename FloatFormat<T>::Bits;
};

}  // namespace dashi
