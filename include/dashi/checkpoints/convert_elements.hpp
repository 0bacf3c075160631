// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/core/float_types.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/io/dtype.hpp>
#include <dashi/io/float_dtypes.hpp>
#include <dashi/kernels/convert.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace dashi::checkpoints::detail {

/// Finite numbers that became infinite or NaN become the largest of the target with their sign.
template <class From, class To>
void saturate_overflow(From const* in, To* out, std::size_t count) {
  using Bits = typename FloatFormat<To>::Bits;
  using F = FloatFormat<From>;
  for (std::size_t i = 0; i < count; ++i) {
    if (is_finite(in[i]) && !is_finite(out[i])) {
      bool const negative = (__builtin_bit_cast(typename F::Bits, in[i]) & F::sign_mask) != 0;
      out[i] = __builtin_bit_cast(
          To, static_cast<Bits>((negative ? FloatFormat<To>::sign_mask : Bits{0}) |
                                FloatFormat<To>::largest_finite));
    }
  }
}

/// `count` numbers, rounded once to dtype `to` at `out`; aligned.
template <class Wide>
ConversionCounts round_elements(Context<Kokkos::Serial>& ctx, Wide const* in, io::Dtype to,
                                std::byte* out, std::uint64_t count, bool saturate) {
  ConversionCounts counts;
  io::with_float_type(to, [&]<class To>() {
    if constexpr (std::is_same_v<Wide, float> || !std::is_same_v<To, double>) {
      auto const size = static_cast<Index>(count);
      auto* const target = reinterpret_cast<To*>(out);
      counts = convert_values(ctx, vector_over<Wide const, Kokkos::Serial>(in, size),
                              vector_over<To, Kokkos::Serial>(target, size));
      if (saturate && counts.overflowed > 0) {
        saturate_overflow(in, target, static_cast<std::size_t>(count));
      }
    }
  });
  return counts;
}

/// `count` numbers of a dtype of at most 16 bits, exactly.
inline void widen_elements(io::Dtype from, std::byte const* in, float* out, std::size_t count) {
  io::with_float_type(from, [&]<class From>() {
    if constexpr (sizeof(From) < sizeof(float)) {
      auto const* const source = reinterpret_cast<From const*>(in);
      for (std::size_t i = 0; i < count; ++i) {
        out[i] = widen(source[i]);
      }
    }
  });
}

/// `count` elements of dtype `from` at `in`, rounded once to `to` at `out`; both aligned. The
/// dtypes differ. Small formats go through float, which holds their numbers, in pieces that stay
/// in cache: a kernel a format instead of one a pair of formats.
inline ConversionCounts convert_elements(Context<Kokkos::Serial>& ctx, io::Dtype from,
                                         std::byte const* in, io::Dtype to, std::byte* out,
                                         std::uint64_t count, bool saturate) {
  if (from == io::Dtype::f64) {
    return round_elements(ctx, reinterpret_cast<double const*>(in), to, out, count, saturate);
  }
  if (from == io::Dtype::f32) {
    return round_elements(ctx, reinterpret_cast<float const*>(in), to, out, count, saturate);
  }
  constexpr std::uint64_t most = 16384;
  auto const in_width = static_cast<std::uint64_t>(io::bits(from)) / 8;
  auto const out_width = static_cast<std::uint64_t>(io::bits(to)) / 8;
  auto const wide = std::make_unique_for_overwrite<float[]>(std::min(count, most));
  ConversionCounts total;
  for (std::uint64_t first = 0; first < count; first += most) {
    std::uint64_t const some = std::min(count - first, most);
    widen_elements(from, in + first * in_width, wide.get(), some);
    ConversionCounts const counts =
        round_elements<float>(ctx, wide.get(), to, out + first * out_width, some, saturate);
    if (total.first < 0 && counts.first >= 0) {
      total.first = static_cast<Index>(first) + counts.first;
    }
    total.overflowed += counts.overflowed;
    total.infinite += counts.infinite;
    total.nan += counts.nan;
  }
  return total;
}

}  // namespace dashi::checkpoints::detail
