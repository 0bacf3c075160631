// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace dashi {

namespace detail {

/// Elements whose intermediate results stay in the first cache.
inline constexpr std::size_t narrow_block_size = 512;

/// Bits of the float next to each double that has an odd last bit, of the double itself where it
/// is a float: what is then rounded to a format with at least two bits fewer is as if it was
/// rounded once (Boldo and Melquiond, Emulation of FMA and correctly rounded sums, 2008).
/// At most narrow_block_size; needs a FloatingEnvironment. Three loops, for each becomes vectors.
inline void round_to_odd(double const* in, std::uint32_t* bits, std::size_t count) {
  std::uint32_t error[narrow_block_size];
  for (std::size_t i = 0; i < count; ++i) {
    bits[i] = same_bits<std::uint32_t>(static_cast<float>(in[i]));
  }
  // Scaled, so that no error of a float that is not zero is lost; of an infinity that was one it is
  // NaN.
  for (std::size_t i = 0; i < count; ++i) {
    double const lost = in[i] - static_cast<double>(same_bits<float>(bits[i]));
    error[i] = same_bits<std::uint32_t>(static_cast<float>(lost * 0x1p100));
  }
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t const e = error[i];
    std::uint32_t const nearest = bits[i];
    std::uint32_t const magnitude = e & 0x7fffffffU;
    std::uint32_t const towards = nearest + (1U | (0U - ((e ^ nearest) >> 31)));
    std::uint32_t const chosen =
        mask_if<std::uint32_t>(magnitude - 1U < FloatFormat<float>::exponent_mask) &
        ((nearest & 1U) - 1U);
    bits[i] = (towards & chosen) | (nearest & ~chosen);
  }
}

}  // namespace detail

/// out[i] = convert<T>(in[i]), the same bits twice as fast; needs a FloatingEnvironment.
template <FloatType T>
void narrow_block(double const* in, T* out, std::size_t count) {
  if constexpr (std::is_same_v<T, double>) {
    std::copy_n(in, count, out);
  } else if constexpr (std::is_same_v<T, float>) {
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = static_cast<float>(in[i]);
    }
  } else {
    std::uint32_t bits[detail::narrow_block_size];
    for (std::size_t begin = 0; begin < count; begin += detail::narrow_block_size) {
      std::size_t const size = std::min(detail::narrow_block_size, count - begin);
      detail::round_to_odd(in + begin, bits, size);
      for (std::size_t i = 0; i < size; ++i) {
        out[begin + i] = convert<T>(detail::same_bits<float>(bits[i]));
      }
    }
  }
}

}  // namespace dashi
