// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dashi::io {

/// Decoded image: rows from the top, pixels from the left, channels of a pixel side by side, 8 bits
/// each. One channel is grey, three are RGB.
struct Raster {
  std::size_t width = 0;
  std::size_t height = 0;
  std::size_t channels = 0;
  std::vector<std::uint8_t> pixels;  ///< [height, width, channels]

  friend bool operator==(Raster const&, Raster const&) = default;
};

/// Most pixels of an image that is decoded (8192 x 8192): a few bytes can claim any size.
inline constexpr std::uint64_t largest_raster_pixels = std::uint64_t{1} << 26;

}  // namespace dashi::io
