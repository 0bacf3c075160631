// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/data/image_shape.hpp>
#include <dashi/io/raster.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace dashi::data {

/// The 8-bit value of a number in [-1, 1]: to nearest, numbers outside as the nearest end, NaN as
/// 0.
inline std::uint8_t byte_of(float value) {
  double const scaled = (static_cast<double>(value) + 1.0) * 127.5;
  return scaled >= 0 ? static_cast<std::uint8_t>(std::min(std::floor(scaled + 0.5), 255.0))
                     : std::uint8_t{0};
}

/// How a grid is laid out.
struct GridLayout {
  Index columns = 0;       ///< 0: as square as the count allows
  Index gap = 1;           ///< pixels between images and around them
  std::uint8_t paper = 0;  ///< value of the gaps and of places without image
  bool invert = false;     ///< the images were loaded inverted: turn them back
};

/// Columns of a grid of `count` images: the least whose square is no less than the count.
inline Index grid_columns(std::size_t count) {
  Index columns = 1;
  while (static_cast<std::size_t>(columns) * static_cast<std::size_t>(columns) < count) {
    ++columns;
  }
  return columns;
}

/// Tiles images, row by row, to one picture. `images`: [count, channels, height, width] in [-1, 1],
/// grey or RGB. Throws PreconditionError.
inline io::Raster image_grid(std::span<float const> images, ImageShape const& shape,
                             GridLayout const& layout = {}) {
  DASHI_EXPECTS(shape.channels == 1 || shape.channels == 3,
                "a grid is grey or RGB, got " + std::to_string(shape.channels) + " channels");
  auto const size = static_cast<std::size_t>(shape.size());
  DASHI_EXPECTS(size > 0 && !images.empty() && images.size() % size == 0,
                "the numbers are no whole count of images");
  DASHI_EXPECTS(layout.columns >= 0 && layout.gap >= 0, "columns and gap are not negative");
  std::size_t const count = images.size() / size;
  auto const columns =
      static_cast<std::size_t>(layout.columns > 0 ? layout.columns : grid_columns(count));
  std::size_t const rows = (count + columns - 1) / columns;
  auto const gap = static_cast<std::size_t>(layout.gap);
  auto const height = static_cast<std::size_t>(shape.height);
  auto const width = static_cast<std::size_t>(shape.width);
  auto const channels = static_cast<std::size_t>(shape.channels);

  io::Raster grid{gap + columns * (width + gap), gap + rows * (height + gap), channels, {}};
  grid.pixels.assign(grid.width * grid.height * channels, layout.paper);
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t const top = gap + i / columns * (height + gap);
    std::size_t const left = gap + i % columns * (width + gap);
    float const* value = images.data() + i * size;
    for (std::size_t c = 0; c < channels; ++c) {
      for (std::size_t y = 0; y < height; ++y) {
        std::uint8_t* const row =
            grid.pixels.data() + ((top + y) * grid.width + left) * channels + c;
        for (std::size_t x = 0; x < width; ++x, ++value) {
          row[x * channels] = byte_of(layout.invert ? -*value : *value);
        }
      }
    }
  }
  return grid;
}

}  // namespace dashi::data
