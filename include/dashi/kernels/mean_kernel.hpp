// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>
#include <dashi/kernels/mean_element.hpp>
#include <dashi/kernels/mean_report.hpp>
#include <dashi/kernels/mean_stages.hpp>
#include <dashi/kernels/mean_weights.hpp>

#include <Kokkos_Core.hpp>

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
    }
    int const highest = std::is_same_v<In, BFloat16> ? 253 - c.weight_bits : 30;
    c.float_exponent = static_cast<std::uint32_t>(highest > 0 ? highest : 0);
  }
  c.double_spread = -1;
  if (std::is_same_v<Out, double> || detail::midpoint_is_exact<Out, double>(c.total)) {
    c.double_spread = FloatFormat<double>::fraction_bits - c.weight_bits - f;
  }
  c.float_total = static_cast<float>(c.total);
  c.float_reciprocal = 1.0F / c.float_total;
  c.double_total = static_cast<double>(c.total);
  c.double_reciprocal = 1.0 / c.double_total;
  return c;
}

/// The exact mean of one tile: float sums where they are proven, double sums where those fail, wide
/// integers for what is left. All pointers are reachable from the execution space; weights are
/// non-zero.
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
    if constexpr (sizeof(In) == 2 && sizeof(Out) == 2) {
      if (constants.float_spread >= 0) {
        at = float_blocks<Lanes, Bytes>(at, end);
      }
    }
    if constexpr (!std::is_same_v<In, double>) {
      if (constants.double_spread >= 0) {
        constexpr int group = double_lanes<Bytes>;
        for (; at + group <= end; at += group) {
          double_group<Lanes, Bytes>(at);
        }
      }
    }
    for (; at < end; ++at) {
      element(at);
    }
  }

 private:
  template <int Bytes>
  static constexpr int double_lanes = Bytes < 32 ? 4 : Bytes / 8;

  /// Blocks of groups share one test, because nearly all groups are proven.
  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION std::int64_t float_blocks(std::int64_t at, std::int64_t end) const {
    constexpr int words = Bytes / 4;
    constexpr int step = 2 * words;
    constexpr int groups = Bytes / 8 > 2 ? Bytes / 8 : 1;
    using Mask = Lanes<std::int16_t, step>;
    for (; at + step * groups <= end; at += step * groups) {
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
            second_pass<Lanes, Bytes>(at + g * step, unproven[g], step);
          }
        }
      }
    }
    return at;
  }

  /// Redoes the groups that hold an unproven element.
  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void second_pass(std::int64_t at, std::int16_t const* unproven,
                                               int count) const {
    constexpr int group = double_lanes<Bytes>;
    for (int g = 0; g < count; g += group) {
      bool needed = false;
      for (int i = 0; i < group; ++i) {
        needed = needed || unproven[g + i] != 0;
      }
      if (needed && constants.double_spread >= 0) {
        double_group<Lanes, Bytes>(at + g);
      } else if (needed) {
        for (int i = 0; i < group; ++i) {
          element(at + g + i);
        }
      }
    }
  }

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void double_group(std::int64_t at) const {
    constexpr int group = double_lanes<Bytes>;
    auto const mask =
        mean_in_double<In, Out, Lanes, group>(members, weights, constants, at, out + at);
    if (mask.any()) {
      std::int64_t unproven[std::size_t{group}];
      mask.store(unproven);
      for (int i = 0; i < group; ++i) {
        if (unproven[i] != 0) {
          element(at + i);
        }
      }
    }
  }

  KOKKOS_INLINE_FUNCTION void element(std::int64_t at) const {
    In const* const* const from = members;
    auto const result = mean_element<In, Out>([from, at](int k) { return from[k][at]; }, weights,
                                              constants.count, constants.total,
                                              constants.weight_bits);
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
