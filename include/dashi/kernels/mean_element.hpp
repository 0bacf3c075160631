// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>
#include <dashi/core/float_types.hpp>
#include <dashi/kernels/wide_int.hpp>

#include <cstdint>

namespace dashi::kernels {

/// A finite number as ±significand * 2^shift in units of the format's smallest subnormal.
struct ScaledSignificand {
  std::uint64_t significand;
  int shift;
  bool negative;
};

template <class T>
KOKKOS_INLINE_FUNCTION constexpr ScaledSignificand scaled_significand(T value) {
  using F = FloatFormat<T>;
  auto const bits = __builtin_bit_cast(typename F::Bits, value);
  std::uint64_t const magnitude = bits & F::magnitude_mask;
  int const exponent = static_cast<int>(magnitude >> F::fraction_bits);
  std::uint64_t const hidden = exponent > 0 ? std::uint64_t{1} << F::fraction_bits : 0;
  return {(magnitude & F::fraction_mask) | hidden, exponent > 0 ? exponent - 1 : 0,
          (bits & F::sign_mask) != 0};
}

/// Exponent of the smallest subnormal of T.
template <class T>
inline constexpr int smallest_exponent = 1 - FloatFormat<T>::bias - FloatFormat<T>::fraction_bits;

/// 64-bit words that hold any Σ w x of finite x in units of the smallest subnormal, Σ|w| <= 2^62.
template <class T>
inline constexpr int exact_words =
    (((1 << FloatFormat<T>::exponent_bits) - 3 + FloatFormat<T>::fraction_bits + 1) + 62 + 1 + 63) /
    64;

/// What one element's exact mean is, and what there is to say of it.
template <class Out>
struct ElementMean {
  Out value;
  std::int32_t nans = 0;        ///< inputs that were NaN
  std::int32_t infinities = 0;  ///< inputs that were infinite
  bool overflowed = false;      ///< finite inputs, infinite result
};

/// The reference path: Σ w_k x_k / total for one element by wide integers, rounded once.
///
/// Cost: one shifted addition a member into 2 words where the exponents of the members allow it,
/// else into exact_words<In>. Weights are non-zero; member(k) returns the k-th value. Any NaN gives
/// NaN, infinities of both signs give NaN. Sign of zero: -0 iff every term is -0.
template <class In, class Out, class Member>
KOKKOS_INLINE_FUNCTION ElementMean<Out> mean_element(Member const& member,
                                                     std::int64_t const* weights, int count,
                                                     std::int64_t total, int weight_bits) {
  using F = FloatFormat<In>;
  using G = FloatFormat<Out>;
  ElementMean<Out> result{};
  int lowest = INT32_MAX;
  int highest = 0;
  bool all_negative_zero = true;
  bool positive_infinity = false;
  bool negative_infinity = false;
  for (int k = 0; k < count; ++k) {
    In const x = member(k);
    ScaledSignificand const s = scaled_significand(x);
    bool const negative = s.negative != (weights[k] < 0);
    all_negative_zero = all_negative_zero && s.significand == 0 && negative;
    if (is_nan(x)) {
      ++result.nans;
    } else if (is_infinite(x)) {
      ++result.infinities;
      (negative ? negative_infinity : positive_infinity) = true;
    } else if (s.significand != 0) {
      lowest = s.shift < lowest ? s.shift : lowest;
      highest = s.shift > highest ? s.shift : highest;
    }
  }
  auto const finish = [&](std::uint64_t bits) {
    result.value = __builtin_bit_cast(Out, static_cast<typename G::Bits>(bits));
    return result;
  };
  if (result.nans > 0 || (positive_infinity && negative_infinity)) {
    return finish(G::nan);
  }
  if (result.infinities > 0) {
    return finish(G::exponent_mask | (negative_infinity ? std::uint64_t{G::sign_mask} : 0));
  }
  if (lowest == INT32_MAX) {
    return finish(all_negative_zero ? std::uint64_t{G::sign_mask} : 0);
  }
  auto const sum = [&](auto& wide, int base) {
    for (int k = 0; k < count; ++k) {
      ScaledSignificand const s = scaled_significand(member(k));
      std::uint64_t const w = static_cast<std::uint64_t>(weights[k] < 0 ? -weights[k] : weights[k]);
      if (s.significand != 0) {
        wide.add_shifted(UInt128{s.significand} * w, s.shift - base,
                         s.negative != (weights[k] < 0));
      }
    }
  };
  typename G::Bits bits;
  if (highest - lowest + F::fraction_bits + 1 + weight_bits <= 126) {
    WideInt<2> wide;
    sum(wide, lowest);
    bits = round_quotient<Out>(wide, smallest_exponent<In> + lowest, total);
  } else {
    WideInt<exact_words<In>> wide;
    sum(wide, 0);
    bits = round_quotient<Out>(wide, smallest_exponent<In>, total);
  }
  result.overflowed = (bits & G::magnitude_mask) == G::exponent_mask;
  return finish(bits);
}

}  // namespace dashi::kernels
