// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/normal_quantile.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>
#include <type_traits>

namespace dashi {

using PhiloxBlock = Kokkos::Array<std::uint32_t, 4>;
using PhiloxKey = Kokkos::Array<std::uint32_t, 2>;

/// Philox-4x32 with ten rounds: a bijection of counters for each key. J. K. Salmon, M. A. Moraes,
/// R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3.
KOKKOS_INLINE_FUNCTION constexpr PhiloxBlock philox4x32_10(PhiloxBlock counter, PhiloxKey key) {
  std::uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  std::uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; ++round) {
    std::uint64_t const product0 = std::uint64_t{0xd2511f53} * c0;
    std::uint64_t const product1 = std::uint64_t{0xcd9e8d57} * c2;
    c0 = static_cast<std::uint32_t>(product1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<std::uint32_t>(product1);
    c2 = static_cast<std::uint32_t>(product0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<std::uint32_t>(product0);
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
  return {{c0, c1, c2, c3}};
}

/// What a random number is for: nothing else decides its bits, besides seed and index.
struct RandomPlace {
  std::uint16_t purpose = 0;  ///< initialisation, noise, timesteps, data order, ...
  std::uint64_t step = 0;     ///< below 2^40
  std::uint32_t sample = 0;   ///< global index within the step
};

/// Random numbers by index, without state: number i of a place is the same on any thread, device
/// and day. Key = seed, low word first; counter, from its lowest bit: block 40, sample 32, step 40,
/// purpose 16. To tell tensors apart xor a hash of the name (XXH3, 64 bits) into the seed.
///
/// A float takes one of the four words of a block, a double two: indices up to 2^42 or 2^41.
class Philox {
public:
  KOKKOS_INLINE_FUNCTION Philox(std::uint64_t seed, RandomPlace place)
      : key_{{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}},
        base_{{0U, place.sample << 8,
               place.sample >> 24 | static_cast<std::uint32_t>(place.step << 8),
               static_cast<std::uint32_t>(place.step >> 24 & 0xffffU) | std::uint32_t{place.purpose}
                                                                            << 16}} {
    KOKKOS_IF_ON_HOST((DASHI_EXPECTS(place.step >> 40 == 0, "a step has at most 40 bits");))
  }

  /// Four words of 32 random bits; index < 2^40.
  KOKKOS_INLINE_FUNCTION PhiloxBlock block(std::uint64_t index) const {
    return philox4x32_10(
        {{static_cast<std::uint32_t>(index),
          base_[1] | static_cast<std::uint32_t>(index >> 32 & 0xffU), base_[2], base_[3]}},
        key_);
  }

  /// In [0, 1): a multiple of 2^-24 (float) or 2^-53 (double).
  template <class T>
  KOKKOS_INLINE_FUNCTION T uniform(std::uint64_t index) const {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
    if constexpr (std::is_same_v<T, float>) {
      return static_cast<float>(word(index) >> 8) * 0x1p-24f;
    } else {
      return static_cast<double>(two_words(index) >> 11) * 0x1p-53;
    }
  }

  /// normal<float>(4 index) to normal<float>(4 index + 3), for the price of one block.
  KOKKOS_INLINE_FUNCTION Kokkos::Array<float, 4> four_normals(std::uint64_t index) const {
    PhiloxBlock const words = block(index);
    return {{normal_of(words[0]), normal_of(words[1]), normal_of(words[2]), normal_of(words[3])}};
  }

  /// Standard normal: the quantile, in double, at the middle of one of 2^32 (float) or 2^52
  /// (double) equal cells of (0, 1). |z| < 6.34 or 8.3.
  template <class T>
  KOKKOS_INLINE_FUNCTION T normal(std::uint64_t index) const {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
    if constexpr (std::is_same_v<T, float>) {
      return normal_of(word(index));
    } else {
      return normal_quantile((static_cast<double>(two_words(index) >> 12) + 0.5) * 0x1p-52);
    }
  }

private:
  KOKKOS_INLINE_FUNCTION static float normal_of(std::uint32_t word) {
    return static_cast<float>(normal_quantile((static_cast<double>(word) + 0.5) * 0x1p-32));
  }
  KOKKOS_INLINE_FUNCTION std::uint32_t word(std::uint64_t index) const {
    return block(index / 4)[index % 4];
  }
  KOKKOS_INLINE_FUNCTION std::uint64_t two_words(std::uint64_t index) const {
    PhiloxBlock const words = block(index / 2);
    std::uint64_t const at = index % 2 * 2;
    return words[at] | std::uint64_t{words[at + 1]} << 32;
  }

  PhiloxKey key_;
  PhiloxBlock base_;
};

}  // namespace dashi
