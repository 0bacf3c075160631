// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/kernels/accumulator.hpp>
#include <dashi/kernels/array_lanes.hpp>

#include <Kokkos_Macros.hpp>

#include <array>
#include <cstdint>
#include <type_traits>

namespace dashi::kernels {

/// Says that a chunk is to be loaded or stored whole.
struct AllOfIt {};

namespace detail {
/// All bits set in the first half, none in the second.
template <class Element, int Lanes>
inline constexpr auto mask_window = [] {
  std::array<Element, static_cast<std::size_t>(4 * Lanes)> out{};
  for (int i = 0; i < 2 * Lanes; ++i) {
    out[static_cast<std::size_t>(i)] = -1;
  }
  return out;
}();
}  // namespace detail

/// Neighbouring numbers of storage type T as two registers of `Bytes` bytes to compute with.
///
/// Of float and double the lower register holds the first half of them, of 16-bit types the even
/// ones: one word holds a pair, so that widening is a shift instead of a shuffle. Arithmetic goes
/// element by element, so which is where shows in lower()/upper() only.
template <template <class, int> class Lanes, int Bytes, class T>
struct StorageChunk {
  using Acc = AccumulatorOf<T>;
  static constexpr int lanes = Bytes / static_cast<int>(sizeof(Acc));
  static constexpr int size = 2 * lanes;  ///< elements
  static constexpr bool pairs = std::is_same_v<T, BFloat16>;
  using Part = Lanes<Acc, lanes>;

  Part lower, upper;

  /// A mask of lanes below `count`, which may lie outside of [0, lanes]. On hosts a part of a
  /// table: put together number by number it took longer than what it was for.
  template <class Mask>
  KOKKOS_FORCEINLINE_FUNCTION static Mask first_lanes(Index count) {
    using Element = typename Mask::Element;
    KOKKOS_IF_ON_HOST((return Mask::load(detail::mask_window<Element, lanes>.data() + 2 * lanes -
                                         (count > -lanes ? count : -lanes));))
    KOKKOS_IF_ON_DEVICE((
        alignas(64) Element bits[static_cast<std::size_t>(lanes)];
        for (int i = 0; i < lanes; ++i) { bits[i] = i < count ? -1 : 0; } return Mask::load(bits);))
  }

  KOKKOS_FORCEINLINE_FUNCTION static StorageChunk splat(Acc value) {
    Part const part = Part::splat(value);
    return {part, part};
  }

  KOKKOS_FORCEINLINE_FUNCTION static StorageChunk load(T const* from) {
    if constexpr (std::is_same_v<T, Acc>) {
      return {Part::load(from), Part::load(from + lanes)};
    } else if constexpr (pairs) {
      auto const words = load_words(from);
      using Words = Lanes<std::uint32_t, lanes>;
      return {(words << 16).template as<float>(),
              (words & Words::splat(0xffff0000U)).template as<float>()};
    } else {
      alignas(64) Acc wide[static_cast<std::size_t>(size)];
      for (int i = 0; i < size; ++i) {
        wide[i] = convert<Acc>(from[i]);
      }
      return {Part::load(wide), Part::load(wide + lanes)};
    }
  }
  KOKKOS_FORCEINLINE_FUNCTION static StorageChunk load(T const* from, AllOfIt) {
    return load(from);
  }
  /// The first `count` elements, zeros behind them.
  KOKKOS_FORCEINLINE_FUNCTION static StorageChunk load(T const* from, Index count) {
    if (count >= size) {
      return load(from);
    }
    alignas(64) T some[static_cast<std::size_t>(size)] = {};
    for (Index i = 0; i < count; ++i) {
      some[i] = from[i];
    }
    return load(some);
  }

  /// The first `count` elements, with anything behind them; `room` may be read.
  KOKKOS_FORCEINLINE_FUNCTION static StorageChunk load_over(T const* from, Index count,
                                                            Index room) {
    return room >= size ? load(from) : load(from, count);
  }
  /// The first `count` elements, and those of another behind them.
  KOKKOS_FORCEINLINE_FUNCTION StorageChunk cut(Index count, StorageChunk const& behind) const {
    using Mask = typename Part::Mask;
    Index const valid = count < size ? count : size;
    Index const low = pairs ? (valid + 1) / 2 : valid;
    Index const high = pairs ? valid / 2 : valid - lanes;
    return {select(first_lanes<Mask>(low), lower, behind.lower),
            select(first_lanes<Mask>(high), upper, behind.upper)};
  }

  /// Rounded once, to nearest, ties to even.
  KOKKOS_FORCEINLINE_FUNCTION void store(T* to) const {
    if constexpr (std::is_same_v<T, Acc>) {
      lower.store(to);
      upper.store(to + lanes);
    } else if constexpr (pairs) {
      auto const words = (rounded(lower) >> 16) | rounded(upper);
      __builtin_memcpy(to, &words, sizeof(words));
    } else {
      alignas(64) Acc wide[static_cast<std::size_t>(size)];
      lower.store(wide);
      upper.store(wide + lanes);
      for (int i = 0; i < size; ++i) {
        to[i] = convert<T>(wide[i]);
      }
    }
  }
  KOKKOS_FORCEINLINE_FUNCTION void store(T* to, AllOfIt) const { store(to); }
  KOKKOS_FORCEINLINE_FUNCTION void store(T* to, Index count) const {
    if (count >= size) {
      store(to);
      return;
    }
    alignas(64) T some[static_cast<std::size_t>(size)];
    store(some);
    for (Index i = 0; i < count; ++i) {
      to[i] = some[i];
    }
  }

  /// Elements in order, unrounded.
  KOKKOS_FORCEINLINE_FUNCTION void store_wide(Acc* to) const {
    if constexpr (pairs) {
      alignas(64) Acc even[static_cast<std::size_t>(lanes)];
      alignas(64) Acc odd[static_cast<std::size_t>(lanes)];
      lower.store(even);
      upper.store(odd);
      for (int i = 0; i < lanes; ++i) {
        to[2 * i] = even[i];
        to[2 * i + 1] = odd[i];
      }
    } else {
      lower.store(to);
      upper.store(to + lanes);
    }
  }

  KOKKOS_FORCEINLINE_FUNCTION void add(StorageChunk const& x) {
    lower = lower + x.lower;
    upper = upper + x.upper;
  }
  KOKKOS_FORCEINLINE_FUNCTION void add_product(StorageChunk const& x, StorageChunk const& y) {
    lower = lower + x.lower * y.lower;
    upper = upper + x.upper * y.upper;
  }
  KOKKOS_FORCEINLINE_FUNCTION void multiply(StorageChunk const& x) {
    lower = lower * x.lower;
    upper = upper * x.upper;
  }

private:
  KOKKOS_FORCEINLINE_FUNCTION static Lanes<std::uint32_t, lanes> load_words(T const* from) {
    Lanes<std::uint32_t, lanes> words;
    __builtin_memcpy(&words, from, sizeof(words));
    return words;
  }

  /// Upper halves of the words: the bits of the nearest bfloat16; a NaN stays one and gets quiet.
  KOKKOS_FORCEINLINE_FUNCTION static auto rounded(Part const& part) {
    using Words = Lanes<std::uint32_t, lanes>;
    Words const bits = part.template as<std::uint32_t>();
    Words const odd = (bits >> 16) & Words::splat(1U);
    Words const nearest = bits + Words::splat(0x7fffU) + odd;
    Words const quiet = bits | Words::splat(0x00400000U);
    auto const magnitude = (bits & Words::splat(0x7fffffffU)).template as<std::int32_t>();
    auto const is_nan = magnitude > Lanes<std::int32_t, lanes>::splat(0x7f800000);
    return select(is_nan, quiet, nearest) & Words::splat(0xffff0000U);
  }
};

}  // namespace dashi::kernels
