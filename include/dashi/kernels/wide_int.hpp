// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>

#include <Kokkos_Macros.hpp>

#include <cstddef>
#include <cstdint>

namespace dashi::kernels {

__extension__ typedef unsigned __int128 UInt128;
__extension__ typedef __int128 Int128;

/// Two's complement integer of Limbs 64-bit words, least significant first.
///
/// Addition wraps, so a sum whose final value fits is right whatever its order and whatever its
/// intermediate values were.
template <int Limbs>
struct WideInt {
  std::uint64_t limb[static_cast<std::size_t>(Limbs)] = {};

  KOKKOS_INLINE_FUNCTION constexpr bool is_negative() const { return limb[Limbs - 1] >> 63 != 0; }

  KOKKOS_INLINE_FUNCTION constexpr bool is_zero() const {
    std::uint64_t any = 0;
    for (int k = 0; k < Limbs; ++k) {
      any |= limb[k];
    }
    return any == 0;
  }

  KOKKOS_INLINE_FUNCTION constexpr void negate() {
    std::uint64_t carry = 1;
    for (int k = 0; k < Limbs; ++k) {
      limb[k] = ~limb[k] + carry;
      carry = carry != 0 && limb[k] == 0 ? 1 : 0;
    }
  }

  KOKKOS_INLINE_FUNCTION constexpr void add(WideInt const& other) {
    std::uint64_t carry = 0;
    for (int k = 0; k < Limbs; ++k) {
      UInt128 const sum = UInt128{limb[k]} + other.limb[k] + carry;
      limb[k] = static_cast<std::uint64_t>(sum);
      carry = static_cast<std::uint64_t>(sum >> 64);
    }
  }

  /// Adds ±magnitude * 2^shift; 0 <= shift; bits beyond the top word are lost (wrap).
  KOKKOS_INLINE_FUNCTION constexpr void add_shifted(UInt128 magnitude, int shift, bool negative) {
    int const word = shift / 64;
    int const bit = shift % 64;
    std::uint64_t const low = static_cast<std::uint64_t>(magnitude);
    std::uint64_t const high = static_cast<std::uint64_t>(magnitude >> 64);
    std::uint64_t const part[3] = {
        low << bit,
        bit == 0 ? high : high << bit | low >> (64 - bit),
        bit == 0 ? 0 : high >> (64 - bit),
    };
    std::uint64_t carry = 0;
    for (int k = word; k < Limbs; ++k) {
      std::uint64_t const p = k - word < 3 ? part[k - word] : 0;
      if (k - word >= 3 && carry == 0) {
        break;
      }
      std::uint64_t const old = limb[k];
      if (negative) {
        std::uint64_t const partial = old - p;
        limb[k] = partial - carry;
        carry = old < p || partial < carry ? 1 : 0;
      } else {
        std::uint64_t const partial = old + p;
        limb[k] = partial + carry;
        carry = partial < old || limb[k] < partial ? 1 : 0;
      }
    }
  }

  /// Times a small factor; wraps.
  KOKKOS_INLINE_FUNCTION constexpr void multiply(std::uint64_t factor) {
    std::uint64_t carry = 0;
    for (int k = 0; k < Limbs; ++k) {
      UInt128 const product = UInt128{limb[k]} * factor + carry;
      limb[k] = static_cast<std::uint64_t>(product);
      carry = static_cast<std::uint64_t>(product >> 64);
    }
  }

  /// Non-negative values only: divides by divisor and returns the remainder.
  KOKKOS_INLINE_FUNCTION constexpr std::uint64_t divide(std::uint64_t divisor) {
    std::uint64_t remainder = 0;
    for (int k = Limbs - 1; k >= 0; --k) {
      UInt128 const part = UInt128{remainder} << 64 | limb[k];
      limb[k] = static_cast<std::uint64_t>(part / divisor);
      remainder = static_cast<std::uint64_t>(part % divisor);
    }
    return remainder;
  }

  KOKKOS_INLINE_FUNCTION constexpr int bit(int index) const {
    return static_cast<int>(limb[index / 64] >> (index % 64) & 1);
  }
};

namespace detail {

KOKKOS_INLINE_FUNCTION constexpr int top_bit(std::uint64_t word) {
  int bit = 0;
  for (int step = 32; step > 0; step /= 2) {
    if (word >> step != 0) {
      word >>= step;
      bit += step;
    }
  }
  return bit;
}

}  // namespace detail

/// The bits of value * 2^unit / divisor rounded once to nearest, ties to even, in format Out;
/// beyond the largest finite number it is infinity. Zero gives +0; a non-zero value that rounds to
/// zero keeps its sign. 0 < divisor < 2^63.
template <class Out, int Limbs>
KOKKOS_INLINE_FUNCTION typename FloatFormat<Out>::Bits round_quotient(WideInt<Limbs> const& value,
                                                                      int unit,
                                                                      std::int64_t divisor) {
  using F = FloatFormat<Out>;
  using Bits = typename F::Bits;
  WideInt<Limbs> magnitude = value;
  bool const negative = value.is_negative();
  if (negative) {
    magnitude.negate();
  }
  // Two low words of zeros: at least 65 significant quotient bits, whatever the divisor.
  constexpr int fraction_words = 2;
  WideInt<Limbs + fraction_words> quotient;
  for (int k = 0; k < Limbs; ++k) {
    quotient.limb[k + fraction_words] = magnitude.limb[k];
  }
  bool sticky = quotient.divide(static_cast<std::uint64_t>(divisor)) != 0;
  int word = Limbs + fraction_words - 1;
  while (word > 0 && quotient.limb[word] == 0) {
    --word;
  }
  if (quotient.limb[word] == 0) {
    return 0;
  }
  int const top = word * 64 + detail::top_bit(quotient.limb[word]);
  int const lowest = unit - 64 * fraction_words;  // exponent of quotient bit 0
  int const smallest = 1 - F::bias;               // exponent of the smallest normal number
  int const exponent = lowest + top > smallest ? lowest + top : smallest;
  int const dropped =
      exponent - F::fraction_bits - lowest;  // quotient bits below the result's last
  std::uint64_t kept = 0;
  for (int b = top; b >= dropped; --b) {
    kept = kept << 1 | static_cast<std::uint64_t>(quotient.bit(b));
  }
  bool const half = dropped - 1 <= top && quotient.bit(dropped - 1) != 0;
  for (int k = 0; k < Limbs + fraction_words && !sticky; ++k) {
    int const below = dropped - 1 - k * 64;  // how many bits of this word lie below the half bit
    std::uint64_t const mask = below >= 64 ? ~std::uint64_t{0}
                               : below > 0 ? (std::uint64_t{1} << below) - 1
                                           : 0;
    sticky = (quotient.limb[k] & mask) != 0;
  }
  std::uint64_t bits = (static_cast<std::uint64_t>(exponent - smallest) << F::fraction_bits) + kept;
  bits += half && (sticky || (kept & 1) != 0) ? 1 : 0;
  if (bits > std::uint64_t{F::largest_finite}) {
    bits = F::exponent_mask;
  }
  return static_cast<Bits>(bits | (negative ? std::uint64_t{F::sign_mask} : 0));
}

}  // namespace dashi::kernels
