// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/mean_report.hpp>
#include <dashi/kernels/mean_stages.hpp>
#include <dashi/kernels/wide_int.hpp>
#include <dashi/kernels/window.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>
#include <type_traits>

namespace dashi::kernels {

/// A sum of 32-bit pieces times powers of two, largest first, and the bits that it could not hold.
template <class U, class D>
struct ProvenSum {
  D sum = D::splat(0.0);
  U lost = U::splat(0);  ///< 0 where every addition was exact

  KOKKOS_FORCEINLINE_FUNCTION void add(U const& piece, double scale) {
    // 2^52 + u has u as its fraction, so subtracting 2^52 gives u exactly.
    D const whole =
        (piece | U::splat(0x4330000000000000U)).template as<double>() - D::splat(0x1p52);
    D const term = whole * D::splat(scale);
    D const next = sum + term;
    D const error = term - (next - sum);
    lost = lost | (error.template as<std::uint64_t>() << 1);
    sum = next;
  }
};

/// out = sum / total rounded once, for one tile of exact sums; +0 for a zero sum.
///
/// Fast path: the sum as a double, which is tried in 32-bit pieces with an error-free test of each
/// addition, then the same rounding as a mean in double (round_double_quotient); what is not proven
/// is divided as a wide integer.
template <class Out, bool Windowed>
struct PublishKernel {
  MeanConstants
      constants;  // total, double_total, double_reciprocal; double_spread < 0: no fast path
  std::int64_t const* high;
  std::uint64_t const* low;  // unused where not Windowed
  Out* out;
  MeanCounters* counters;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(std::int64_t begin, std::int64_t end) const {
    constexpr int lanes = Bytes < 32 ? 4 : Bytes / 8;
    std::int64_t at = begin;
    if (constants.double_spread >= 0) {
      for (; at + lanes <= end; at += lanes) {
        group<Lanes, lanes>(at);
      }
    }
    for (; at < end; ++at) {
      element(at);
    }
  }

private:
  template <template <class, int> class Lanes, int N>
  KOKKOS_FORCEINLINE_FUNCTION void group(std::int64_t at) const {
    using U = Lanes<std::uint64_t, N>;
    using S = Lanes<std::int64_t, N>;
    using D = Lanes<double, N>;
    S::prefetch(high + at);
    U upper = S::load(high + at).template as<std::uint64_t>();
    U const negative = (upper.template as<std::int64_t>() >> 63).template as<std::uint64_t>();
    ProvenSum<U, D> proven;
    U const word = U::splat(0xffffffffU);
    if constexpr (Windowed) {
      U::prefetch(low + at);
      U lower = U::load(low + at);
      lower = (lower ^ negative) - negative;
      U const carry = negative & (((lower | (U::splat(0) - lower)) >> 63) - U::splat(1));
      upper = (upper ^ negative) - carry;
      proven.add(upper >> 32, 0x1p96 * 0x1p-79);
      proven.add(upper & word, 0x1p64 * 0x1p-79);
      proven.add(lower >> 32, 0x1p32 * 0x1p-79);
      proven.add(lower & word, 0x1p-79);
    } else {
      upper = (upper ^ negative) - negative;
      proven.add(upper >> 32, 0x1p32 * 0x1p-24);
      proven.add(upper & word, 0x1p-24);
    }
    D const sum =
        (proven.sum.template as<std::uint64_t>() | (negative << 63)).template as<double>();
    S failed = (proven.lost | (U::splat(0) - proven.lost)).template as<std::int64_t>() >> 63;
    if constexpr (std::is_same_v<Out, double>) {
      (sum / D::splat(constants.double_total)).store(out + at);
    } else {
      auto const rounded = detail::round_double_quotient<Out>(sum, constants);
      failed = failed | rounded.unproven;
      if constexpr (std::is_same_v<Out, float>) {
        rounded.bits.template to<std::uint32_t>().template as<float>().store(out + at);
      } else {
        rounded.bits.template to<std::uint16_t>().store(reinterpret_cast<std::uint16_t*>(out + at));
      }
    }
    if (failed.any()) {
      std::int64_t lanes[static_cast<std::size_t>(N)];
      failed.store(lanes);
      for (int i = 0; i < N; ++i) {
        if (lanes[i] != 0) {
          element(at + i);
        }
      }
    }
  }

  KOKKOS_INLINE_FUNCTION void element(std::int64_t at) const {
    WideInt<2> sum;
    if constexpr (Windowed) {
      sum.limb[0] = low[at];
      sum.limb[1] = static_cast<std::uint64_t>(high[at]);
    } else {
      sum.limb[0] = static_cast<std::uint64_t>(high[at]);
      sum.limb[1] = high[at] < 0 ? ~std::uint64_t{0} : 0;
    }
    auto const bits =
        round_quotient<Out>(sum, Windowed ? window_unit : half_sum_unit, constants.total);
    out[at] = __builtin_bit_cast(Out, bits);
    Kokkos::atomic_add(&counters->wide, std::int64_t{1});
    if ((bits & FloatFormat<Out>::magnitude_mask) == FloatFormat<Out>::exponent_mask) {
      counters->count_overflow(at);
    }
  }
};

}  // namespace dashi::kernels
