// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>

#include <Kokkos_Macros.hpp>

#include <cstdint>
#include <type_traits>

namespace dashi {

/// What a number too large for the target format becomes.
enum class Overflow : std::uint8_t {
  ieee,      ///< infinity, or NaN where the format has none (as PyTorch and ml_dtypes do)
  saturate,  ///< the largest finite number, also from an infinity (saturating mode of the OCP text)
};

namespace detail {

template <class To, class From>
KOKKOS_INLINE_FUNCTION constexpr To same_bits(From const& from) noexcept {
  static_assert(sizeof(To) == sizeof(From));
  return __builtin_bit_cast(To, from);
}

/// All bits or none.
template <class U>
KOKKOS_INLINE_FUNCTION constexpr U mask_if(bool condition) noexcept {
  return U{0} - static_cast<U>(condition);
}

/// magnitude * 2^-shift, to nearest, ties to even; 0 < shift < width of U. No shifted constants:
/// g++ 12 does not vectorise those of 64 bits.
template <class U>
KOKKOS_INLINE_FUNCTION constexpr U shift_right_to_nearest(U magnitude, U shift) noexcept {
  U const twice = magnitude >> (shift - U{1});
  U const inexact = static_cast<U>((twice << (shift - U{1})) != magnitude);
  U const down = twice >> 1;
  return down + (twice & (inexact | down) & U{1});
}

/// float or double to a narrower format, rounded once, with integers only: nothing depends on the
/// rounding mode, on flushed subnormals or on contraction. No branches, so loops vectorise.
template <class To, Overflow Mode, class Wide>
KOKKOS_INLINE_FUNCTION constexpr To narrow(Wide wide) noexcept {
  using W = FloatFormat<Wide>;
  using T = FloatFormat<To>;
  using U = typename W::Bits;
  constexpr int shift = W::fraction_bits - T::fraction_bits;
  constexpr int rebias = W::bias - T::bias;
  static_assert(shift > 0 && rebias >= 0);

  U const bits = same_bits<U>(wide);
  U const magnitude = bits & W::magnitude_mask;
  constexpr U hidden = U{1} << W::fraction_bits;
  constexpr U largest = T::largest_finite;
  // Where the result is subnormal the significand is shifted by as much more as the exponent lacks.
  // With equal biases (bfloat16 from float) the formats' subnormals line up by themselves.
  U rounded = shift_right_to_nearest<U>(magnitude - (U{rebias} << W::fraction_bits), U{shift});
  if constexpr (rebias > 0) {
    constexpr U first_normal = U{rebias + 1};    // the smallest exponent with a normal result
    constexpr U most = U{W::fraction_bits + 2};  // half of this is below every rounding point
    U const exponent = magnitude >> W::fraction_bits;
    U const lacking = exponent < first_normal ? first_normal - exponent : U{0};
    U const amount = U{shift} + lacking < most ? U{shift} + lacking : most;
    U const significand = (magnitude & W::fraction_mask) | hidden;
    U const subnormal = shift_right_to_nearest<U>(significand, amount);
    rounded = exponent < first_normal ? subnormal : rounded;
  }
  constexpr U over = Mode == Overflow::saturate ? largest
                     : T::has_infinity          ? U{T::exponent_mask}
                                                : U{T::nan};
  rounded = rounded > largest ? over : rounded;
  U quiet_nan = T::nan;
  if constexpr (T::has_infinity) {
    quiet_nan |= (magnitude & W::fraction_mask) >> shift;
  }
  rounded = magnitude > W::exponent_mask ? quiet_nan : rounded;
  U sign = (bits & W::sign_mask) >> (8 * (sizeof(Wide) - sizeof(To)));
  if constexpr (T::special_values == SpecialValues::unsigned_zero) {
    sign = rounded == 0 ? U{0} : sign;  // no negative zero; NaN has the sign set anyway
  }
  return same_bits<To>(static_cast<typename T::Bits>(rounded | sign));
}

/// A narrower format to float or double, exactly.
template <class Wide, class From>
KOKKOS_INLINE_FUNCTION constexpr Wide widen_to(From from) noexcept {
  using W = FloatFormat<Wide>;
  using F = FloatFormat<From>;
  using U = typename W::Bits;
  constexpr int shift = W::fraction_bits - F::fraction_bits;
  constexpr int rebias = W::bias - F::bias;
  U const bits = same_bits<typename F::Bits>(from);
  U const magnitude = bits & F::magnitude_mask;
  U wide = (magnitude << shift) + (U{rebias} << W::fraction_bits);
  if constexpr (rebias > 0) {
    // Subnormal: an integer times a power of two, both exact in Wide and normal there.
    constexpr U unit_bits = static_cast<U>(rebias + 1 - F::fraction_bits) << W::fraction_bits;
    static_assert(sizeof(From) <= 4);  // so int32: AVX2 has no conversion from 64-bit integers
    auto const integer = static_cast<Wide>(static_cast<std::int32_t>(magnitude));
    U const subnormal = same_bits<U>(integer * same_bits<Wide>(unit_bits));
    U const chosen = mask_if<U>(magnitude <= F::fraction_mask);
    wide = (subnormal & chosen) | (wide & ~chosen);
  }
  if constexpr (F::has_infinity) {
    constexpr U raise =
        W::exponent_mask - (U{F::exponent_mask} << shift) - (U{rebias} << W::fraction_bits);
    constexpr U quiet = U{1} << (W::fraction_bits - 1);
    wide += raise & mask_if<U>(magnitude >= F::exponent_mask);
    wide |= quiet & mask_if<U>(magnitude > F::exponent_mask);
  } else if constexpr (F::special_values == SpecialValues::nan_only) {
    wide |= W::nan & mask_if<U>(magnitude > F::largest_finite);
  } else {
    U const chosen = mask_if<U>(bits == F::nan);
    wide = (W::nan & chosen) | (wide & ~chosen);
  }
  return same_bits<Wide>(wide | (bits & F::sign_mask) << (8 * (sizeof(Wide) - sizeof(From))));
}

/// Bits of the smallest magnitude of Wide that rounds beyond the largest finite To; infinity's
/// where nothing finite does.
template <class To, class Wide>
KOKKOS_INLINE_FUNCTION constexpr typename FloatFormat<Wide>::Bits overflow_magnitude() noexcept {
  using W = FloatFormat<Wide>;
  using T = FloatFormat<To>;
  using U = typename W::Bits;
  constexpr int shift = W::fraction_bits - T::fraction_bits;
  if constexpr (shift <= 0) {
    return W::exponent_mask;
  } else {
    constexpr U largest =
        (U{T::largest_finite} << shift) + (U{W::bias - T::bias} << W::fraction_bits);
    constexpr U half_way = largest + (U{1} << (shift - 1));
    return T::largest_finite % 2 == 0 ? half_way + 1 : half_way;  // ties go to even
  }
}

}  // namespace detail

/// The number in another format: exact when the target holds it, else rounded once to nearest, ties
/// to even, straight from the source (double to Float16 does not pass through float).
///
/// Sign and, as far as it fits, payload of a NaN are kept and its quiet bit is set, so cutting a
/// payload never yields an infinity. The same format is returned bit for bit. Formats without
/// infinity turn infinities and overflow into NaN, formats without negative zero turn it into zero.
/// Numbers become what ml_dtypes 0.6 makes of a float; from a double it rounds twice, we once.
template <class To, Overflow Mode = Overflow::ieee, class From>
KOKKOS_INLINE_FUNCTION constexpr To convert(From from) noexcept {
  static_assert(
      FloatType<To> && FloatType<From>,
      "dashi::convert: both types must have a FloatFormat: double, float, Float16, BFloat16, "
      "Float8E4M3, Float8E5M2, Float8E4M3Fnuz, Float8E5M2Fnuz");
  if constexpr (std::is_same_v<To, From>) {
    return from;
  } else if constexpr (std::is_same_v<To, double> ||
                       (std::is_same_v<To, float> && !std::is_same_v<From, double>)) {
    return detail::widen_to<To>(from);
  } else if constexpr (std::is_same_v<From, double> || std::is_same_v<From, float>) {
    return detail::narrow<To, Mode>(from);
  } else {
    return detail::narrow<To, Mode>(detail::widen_to<float>(from));  // widening is exact
  }
}

/// Any small type, or float itself, as float, exactly.
template <class From>
KOKKOS_INLINE_FUNCTION constexpr float widen(From from) noexcept {
  static_assert(!std::is_same_v<From, double>, "dashi::widen: a double does not fit a float");
  return convert<float>(from);
}

/// Properties of a pattern, told from its bits.
template <class T>
KOKKOS_INLINE_FUNCTION constexpr bool is_nan(T value) noexcept {
  using F = FloatFormat<T>;
  auto const bits = detail::same_bits<typename F::Bits>(value);
  if constexpr (F::special_values == SpecialValues::unsigned_zero) {
    return bits == F::nan;
  } else {
    return (bits & F::magnitude_mask) > (F::has_infinity ? F::exponent_mask : F::largest_finite);
  }
}

template <class T>
KOKKOS_INLINE_FUNCTION constexpr bool is_infinite(T value) noexcept {
  using F = FloatFormat<T>;
  auto const bits = detail::same_bits<typename F::Bits>(value);
  return F::has_infinity ? (bits & F::magnitude_mask) == F::exponent_mask : false;
}

template <class T>
KOKKOS_INLINE_FUNCTION constexpr bool is_finite(T value) noexcept {
  using F = FloatFormat<T>;
  auto const bits = detail::same_bits<typename F::Bits>(value);
  if constexpr (F::special_values == SpecialValues::unsigned_zero) {
    return bits != F::nan;
  } else {
    return (bits & F::magnitude_mask) <= F::largest_finite;
  }
}

}  // namespace dashi
