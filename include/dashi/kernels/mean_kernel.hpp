// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>
#include <dashi/kernels/inexact_flag.hpp>
#include <dashi/kernels/mean_by_flag.hpp>
#include <dashi/kernels/mean_element.hpp>
#include <dashi/kernels/mean_report.hpp>
#include <dashi/kernels/mean_stages.hpp>
#include <dashi/kernels/mean_two_term.hpp>
#include <dashi/kernels/mean_weights.hpp>

#include <Kokkos_Core.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace dashi::kernels {

/// Constants for `weights` (all non-zero ones) and formats In, Out.
template <class In, class Out>
MeanConstants mean_constants(MeanWeights const& weights) {
  constexpr int f = FloatFormat<In>::fraction_bits;
  constexpr bool small = sizeof(In) == 2 && sizeof(Out) == 2;
  MeanConstants c{};
  for (std::int64_t const w : weights.values()) {
    c.count += w != 0 ? 1 : 0;
  }
  c.weight_bits = weights.absolute_total_bits();
  c.total = weights.total();
  c.float_spread = -1;
  if constexpr (small) {
    if (detail::midpoint_is_exact<Out, float>(c.total)) {
      c.float_spread = FloatFormat<float>::fraction_bits - c.weight_bits - f;
      // Where few elements would pass, trying costs more than it saves.
      c.float_spread = c.float_spread < 5 ? -1 : c.float_spread;
    }
    int const highest = std::is_same_v<In, BFloat16> ? 253 - c.weight_bits : 30;
    c.float_exponent = highest > 0 ? highest : 0;
    // A non-zero sum is a multiple of the least member's unit: its quotient is then normal.
    c.float_least =
        std::is_same_v<In, BFloat16> && std::is_same_v<Out, BFloat16> ? 2 + f + c.weight_bits : 0;
  }
  c.double_spread = -1;
  if constexpr (std::is_same_v<In, double>) {
    c.double_spread = two_term_spread(c.weight_bits, c.total);
  } else if (std::is_same_v<Out, double> || detail::midpoint_is_exact<Out, double>(c.total)) {
    c.double_spread = FloatFormat<double>::fraction_bits - c.weight_bits - f;
  }
  // Quotients from two binades above the smallest normal number to two below the largest.
  c.least_sum = std::bit_cast<std::uint32_t>(static_cast<float>(c.total) * 0x1p-124F);
  c.most_sum = std::uint32_t{252} << FloatFormat<float>::fraction_bits;
  c.total_is_power_of_two = (c.total & (c.total - 1)) == 0;
  c.float_total = static_cast<float>(c.total);
  c.float_reciprocal = 1.0F / c.float_total;
  c.double_total = static_cast<double>(c.total);
  c.double_reciprocal = 1.0 / c.double_total;
  return c;
}

/// The exact mean of one tile: float sums where they are proven, double sums (for double members:
/// two doubles) where those fail, wide integers for what is left. All pointers are reachable from
/// the execution space; weights are non-zero.
template <class In, class Out>
struct MeanKernel {
  In const* const* members;
  std::int64_t const* weights;
  float const* float_weights;
  MeanConstants constants;
  Out* out;
  MeanCounters* counters;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(std::int64_t begin, std::int64_t end) const {
    std::int64_t at = begin;
    if constexpr (pairs) {
      if (constants.float_spread >= 0) {
        at = float_blocks<Lanes, Bytes>(at, end);
      }
    }
    constexpr int step = double_step<Bytes>;
    for (; at + step <= end && constants.double_spread >= 0; at += step) {
      double_group<Lanes, Bytes>(at);
    }
    for (; at < end; ++at) {
      element(at);
    }
  }

private:
  static constexpr bool pairs = sizeof(In) == 2 && sizeof(Out) == 2;
  /// Elements that one step of the double stage takes.
  template <int Bytes>
  static constexpr int double_step = pairs        ? Bytes / 2
                                     : Bytes < 32 ? 4
                                                  : Bytes / 8;

  /// The float stage, by the processor's flag where there is one.
  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION std::int64_t float_blocks(std::int64_t at, std::int64_t end) const {
    constexpr int step = Bytes / 2;
    constexpr int groups = Bytes / 8 > 2 ? Bytes / 8 : 1;
    if constexpr (mean_has_flag_stage<In, Out, Lanes>) {
      constexpr int wide = 2 * groups;  // between two looks at the flag
      InexactFlag<Lanes> const flag;
      for (; at + step * wide <= end; at += step * wide) {
        flagged_block<Lanes, Bytes, wide>(flag, at);
      }
    }
    for (; at + step * groups <= end; at += step * groups) {
      float_block<Lanes, Bytes>(at);
    }
    return at;
  }

  /// Where something was rounded, the members' exponents tell in which groups it may have been.
  template <template <class, int> class Lanes, int Bytes, int Groups>
  KOKKOS_FORCEINLINE_FUNCTION void flagged_block(InexactFlag<Lanes> const& flag,
                                                 std::int64_t at) const {
    constexpr int words = Bytes / 4;
    constexpr int step = 2 * words;
    auto const found = mean_by_flag<In, Out, Lanes, words, Groups>(flag, members, float_weights,
                                                                   constants, at, out + at);
    if (found == FlagStage::exact) {
      return;
    }
    for (int g = 0; g < Groups; ++g) {
      if (found == FlagStage::outside ||
          exponents_exceed<In, Lanes, words>(members, constants, at + g * step)) {
        second_pass<Lanes, Bytes>(at + g * step);
      }
    }
  }

  /// Groups share one test, because nearly all are proven.
  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void float_block(std::int64_t at) const {
    constexpr int words = Bytes / 4;
    constexpr int step = 2 * words;
    constexpr int groups = Bytes / 8 > 2 ? Bytes / 8 : 1;
    using Mask = Lanes<std::int16_t, step>;
    std::int16_t unproven[std::size_t{groups}][std::size_t{step}];
    Mask any = Mask::splat(0);
    for (int g = 0; g < groups; ++g) {
      auto const mask = mean_in_float<In, Out, Lanes, words>(members, float_weights, constants,
                                                             at + g * step, out + at + g * step);
      mask.store(unproven[g]);
      any = any | mask;
    }
    if (any.any()) {
      for (int g = 0; g < groups; ++g) {
        if (Mask::load(unproven[g]).any()) {
          second_pass<Lanes, Bytes>(at + g * step);
        }
      }
    }
  }

  /// Redoes a group of the float stage that holds an unproven element.
  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void second_pass(std::int64_t at) const {
    if (constants.double_spread >= 0) {
      double_group<Lanes, Bytes>(at);
    } else {
      for (int i = 0; i < Bytes / 2; ++i) {
        element(at + i);
      }
    }
  }

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void double_group(std::int64_t at) const {
    constexpr int step = double_step<Bytes>;
    if constexpr (pairs) {
      finish(at, mean_of_pairs_in_double<In, Out, Lanes, step / 2>(members, weights, constants, at,
                                                                   out + at));
    } else if constexpr (std::is_same_v<In, double>) {
      finish(at, mean_in_two_terms<Out, Lanes, step>(members, weights, constants, at, out + at));
    } else {
      finish(at, mean_in_double<In, Out, Lanes, step>(members, weights, constants, at, out + at));
    }
  }

  /// Leaves what is not proven to wide integers.
  template <class Mask>
  KOKKOS_FORCEINLINE_FUNCTION void finish(std::int64_t at, Mask const& unproven) const {
    if (unproven.any()) {
      typename Mask::Element flags[std::size_t{Mask::size}];
      unproven.store(flags);
      for (int i = 0; i < Mask::size; ++i) {
        if (flags[i] != 0) {
          element(at + i);
        }
      }
    }
  }

  KOKKOS_INLINE_FUNCTION void element(std::int64_t at) const {
    In const* const* const from = members;
    auto const result =
        mean_element<In, Out>([from, at](int k) { return from[k][at]; }, weights, constants.count,
                              constants.total, constants.weight_bits);
    out[at] = result.value;
    Kokkos::atomic_add(&counters->wide, std::int64_t{1});
    if (result.nans + result.infinities > 0) {
      counters->count_nonfinite(at, result.nans, result.infinities);
    } else if (result.overflowed) {
      counters->count_overflow(at);
    }
  }
};

}  // namespace dashi::kernels
