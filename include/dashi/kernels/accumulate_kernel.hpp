// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>
#include <dashi/kernels/array_lanes.hpp>
#include <dashi/kernels/mean_report.hpp>
#include <dashi/kernels/mean_stages.hpp>
#include <dashi/kernels/window.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace dashi::kernels {

/// sums += weight * x, exactly, for one tile. Kind of sum: `Windowed` false = one word in units of
/// 2^-24 (In is Float16), true = two words in units of 2^-79.
///
/// Every group of eight elements sets one byte of `spilled` and of `negative_zeros`. Elements that
/// are not finite are counted and left out. Vector code adds and says whether a block has anything
/// to report, which is rare; what it is, plain code finds out of x again.
template <class In, bool Windowed>
struct AccumulateKernel {
  std::int64_t weight;
  In const* x;
  std::int64_t* high;  // the only word where not Windowed
  std::uint64_t* low;  // unused where not Windowed
  std::uint8_t* spilled;
  std::uint8_t* negative_zeros;
  MeanCounters* counters;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(std::int64_t begin, std::int64_t end) const {
    constexpr int lanes = Bytes < 32 ? 4 : Bytes / 8;
    constexpr int block = Bytes < 32 ? 8 : 64;  // a device's tile has eight elements
    AccumulateKernel const self = *this;        // sums may alias *this for the compiler
    std::int64_t at = begin;
    for (; at + block <= end; at += block) {
      auto events = self.template group<Lanes, lanes>(at);
      for (int part = lanes; part < block; part += lanes) {
        events = events | self.template group<Lanes, lanes>(at + part);
      }
      if (events.any()) {
        report(at, at + block);
      } else {
        for (int byte = 0; byte < block / 8; ++byte) {
          spilled[at / 8 + byte] = 0;
          negative_zeros[at / 8 + byte] = 0;
        }
      }
    }
    std::int64_t const tail = at;
    for (; at < end; ++at) {
      group<ArrayLanes, 1>(at);
    }
    report(tail, end);
  }

private:
  /// Counts what is not finite and sets the flags of [begin, end); begin is a multiple of eight.
  KOKKOS_INLINE_FUNCTION void report(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t at = begin; at < end; at += 8) {
      std::uint8_t outside = 0;
      std::uint8_t zeros = 0;
      for (int i = 0; i < 8 && at + i < end; ++i) {
        using F = FloatFormat<In>;
        In const value = x[at + i];
        auto const bits = __builtin_bit_cast(typename F::Bits, value);
        if (!is_finite(value)) {
          counters->count_nonfinite(at + i, is_nan(value) ? 1 : 0, is_nan(value) ? 0 : 1);
        } else if (Windowed && !in_window(convert<float>(value))) {
          outside = static_cast<std::uint8_t>(outside | 1 << i);
        } else if (bits == (weight < 0 ? typename F::Bits{0} : F::sign_mask)) {
          zeros = static_cast<std::uint8_t>(zeros | 1 << i);
        }
      }
      spilled[at / 8] = outside;
      negative_zeros[at / 8] = zeros;
    }
  }

  /// Adds N elements; lanes that are not 0 say that there is something to report.
  template <template <class, int> class Lanes, int N>
  KOKKOS_FORCEINLINE_FUNCTION auto group(std::int64_t at) const {
    if constexpr (Windowed) {
      return add_to_window<Lanes, N>(at);
    } else {
      return add_to_word<Lanes, N>(at);
    }
  }

  /// Float16 in units of 2^-24: the significand shifted by the exponent, all in 64-bit lanes.
  template <template <class, int> class Lanes, int N>
  KOKKOS_FORCEINLINE_FUNCTION auto add_to_word(std::int64_t at) const {
    using H = Lanes<std::uint16_t, N>;
    using U = Lanes<std::uint64_t, N>;
    using S = Lanes<std::int64_t, N>;
    H::prefetch(x + at);
    S::prefetch(high + at);
    U const bits = H::load(reinterpret_cast<std::uint16_t const*>(x + at))
                       .template to<std::uint32_t>()
                       .template to<std::uint64_t>();
    U const exponent = (bits >> 10) & U::splat(0x1fU);
    U const fraction = bits & U::splat(0x3ffU);
    U const normal = (exponent + U::splat(31U)) >> 5;  // 0 for exponent 0, else 1
    S const not_finite = exponent.template as<std::int64_t>() > S::splat(30);
    U const finite = not_finite.template as<std::uint64_t>() ^ U::splat(~std::uint64_t{0});
    U const significand = (fraction | (normal << 10)) & finite;
    std::uint64_t const absolute = static_cast<std::uint64_t>(weight < 0 ? -weight : weight);
    U const product = shift_left(significand * U::splat(absolute), exponent - normal);
    U const flip = U::splat(0) - ((bits >> 15) ^ U::splat(weight < 0 ? 1U : 0U));
    S const term = ((product ^ flip) - flip).template as<std::int64_t>();
    (S::load(high + at) + term).store(high + at);
    S const zeros = (S::splat(1) > (fraction | exponent).template as<std::int64_t>()) &
                    flip.template as<std::int64_t>();
    return not_finite | zeros;
  }

  template <template <class, int> class Lanes, int N>
  KOKKOS_FORCEINLINE_FUNCTION auto add_to_window(std::int64_t at) const {
    using W = Lanes<std::uint32_t, N>;
    using U = Lanes<std::uint64_t, N>;
    using S = Lanes<std::int64_t, N>;
    using M = typename W::Mask;
    Lanes<float, N>::prefetch(x + at);
    U::prefetch(low + at);
    S::prefetch(high + at);
    W const bits = detail::load_as_float<In, Lanes, N>(x + at).template as<std::uint32_t>();
    W const magnitude = bits & W::splat(0x7fffffffU);
    W const exponent = magnitude >> 23;
    W const normal = smaller(exponent, W::splat(1U));
    W const significand = (magnitude & W::splat(0x7fffffU)) | (normal << 23);
    // x = significand * 2^(exponent - normal - 149). Left shift into the window's unit, right shift
    // where the last bits are zeros.
    constexpr int unit_place = 149 + window_unit;
    M const distance = (exponent - normal).template as<std::int32_t>() - M::splat(unit_place);
    M const is_below = distance >> 31;
    W const right = smaller((M::splat(0) - distance).template as<std::uint32_t>(), W::splat(31)) &
                    is_below.template as<std::uint32_t>();
    W const reduced = shift_right(significand, right);
    M const lost =
        (M::splat(0) - (shift_left(reduced, right) ^ significand).template as<std::int32_t>()) >>
        31;
    M const outside =
        lost | (exponent.template as<std::int32_t>() > M::splat(127 + window_top - 1));
    W const keep = outside.template as<std::uint32_t>() ^ W::splat(~0U);
    U const left = (distance.template as<std::uint32_t>() & keep &
                    (is_below.template as<std::uint32_t>() ^ W::splat(~0U)))
                       .template to<std::uint64_t>();
    U const kept = (reduced & keep).template to<std::uint64_t>();
    std::uint64_t const absolute = static_cast<std::uint64_t>(weight < 0 ? -weight : weight);
    U const product = kept * U::splat(absolute);
    M const negative =
        (bits ^ W::splat(weight < 0 ? 0x80000000U : 0U)).template as<std::int32_t>() >> 31;
    U const flip = negative.template to<std::int64_t>().template as<std::uint64_t>();
    U const term_low = shift_left(product, left);
    U const term_high = shift_right(product >> 1, U::splat(63) - left);
    U const signed_low = (term_low ^ flip) - flip;
    U const carry_of_sign = is_zero(term_low) & flip;  // ~0 + 1 carries into the high word
    U const signed_high = (term_high ^ flip) - carry_of_sign;
    U const old_low = U::load(low + at);
    U const new_low = old_low + signed_low;
    U const carry = carry_out(old_low, signed_low, new_low);
    new_low.store(low + at);
    (S::load(high + at) + (signed_high + carry).template as<std::int64_t>()).store(high + at);
    M const zero_terms = (M::splat(1) > significand.template as<std::int32_t>()) & negative;
    return outside | zero_terms;
  }

  /// All ones where u is 0.
  template <class U>
  KOKKOS_FORCEINLINE_FUNCTION static U is_zero(U const& u) {
    // The sign of u | -u is set iff u is not 0.
    U const some = (u | (U::splat(0) - u)) >> 63;
    return some - U::splat(1);
  }

  /// Carry of a + b = sum, 0 or 1.
  template <class U>
  KOKKOS_FORCEINLINE_FUNCTION static U carry_out(U const& a, U const& b, U const& sum) {
    return ((a & b) | ((a | b) & (sum ^ U::splat(~std::uint64_t{0})))) >> 63;
  }
};

}  // namespace dashi::kernels
