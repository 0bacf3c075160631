// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/io/raster.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace dashi::data {

/// Grey from RGB by the weights of ITU-R BT.601 with 16 bits, as Pillow's convert("L"); RGB from
/// grey by repeating it. `channels` is 1 or 3.
inline io::Raster with_channels(io::Raster image, std::size_t channels) {
  DASHI_EXPECTS(channels == 1 || channels == 3, "images are grey or RGB");
  if (image.channels == channels) {
    return image;
  }
  io::Raster result{image.width, image.height, channels, {}};
  std::size_t const count = image.width * image.height;
  result.pixels.resize(count * channels);
  for (std::size_t p = 0; p < count; ++p) {
    if (channels == 1) {
      std::uint8_t const* const rgb = image.pixels.data() + 3 * p;
      result.pixels[p] = static_cast<std::uint8_t>(
          (rgb[0] * 19595U + rgb[1] * 38470U + rgb[2] * 7471U + 0x8000U) >> 16);
    } else {
      for (std::size_t c = 0; c < 3; ++c) {
        result.pixels[3 * p + c] = image.pixels[p];
      }
    }
  }
  return result;
}

/// Pixels channel by channel, [channels, height, width].
inline void write_planes(io::Raster const& image, std::uint8_t* chw) {
  std::size_t const count = image.width * image.height;
  for (std::size_t c = 0; c < image.channels; ++c) {
    for (std::size_t p = 0; p < count; ++p) {
      chw[c * count + p] = image.pixels[p * image.channels + c];
    }
  }
}

}  // namespace dashi::data
