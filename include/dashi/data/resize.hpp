// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/data/resample.hpp>
#include <dashi/io/raster.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string_view>

namespace dashi::data {

/// How an image becomes a square of another size.
enum class Resize : unsigned char {
  none,         ///< not: images must have the size
  box,          ///< each pixel the mean of the area it covers, as Pillow's Image.BOX
  bilinear,     ///< triangle filter, widened when shrinking, as Pillow's Image.BILINEAR
  center_crop,  ///< keeps the aspect: halved while twice as large, bicubic to the short side,
                ///< middle
};

/// "box" and so on.
constexpr std::string_view name(Resize resize) noexcept {
  switch (resize) {
    case Resize::box: return "box";
    case Resize::bilinear: return "bilinear";
    case Resize::center_crop: return "center_crop";
    default: return "none";
  }
}

/// The middle `size` x `size` pixels of a raster that is at least as large.
inline io::Raster crop_middle(io::Raster const& from, std::size_t size) {
  io::Raster to{size, size, from.channels, {}};
  to.pixels.reserve(size * size * from.channels);
  std::size_t const left = (from.width - size) / 2;
  std::size_t const top = (from.height - size) / 2;
  for (std::size_t y = 0; y < size; ++y) {
    auto const row = from.pixels.begin() +
                     static_cast<std::ptrdiff_t>(((top + y) * from.width + left) * from.channels);
    to.pixels.insert(to.pixels.end(), row, row + static_cast<std::ptrdiff_t>(size * from.channels));
  }
  return to;
}

/// The image as size x size pixels. center_crop is the preparation of ADM (P. Dhariwal, A. Nichol,
/// arXiv 2105.05233, code release) and DiT: box filter to half while the short side is at least
/// twice `size`, bicubic until it is `size`, then the middle. Throws PreconditionError for
/// Resize::none with another size.
inline io::Raster resized(io::Raster image, std::size_t size, Resize resize) {
  DASHI_EXPECTS(size > 0, "images need at least one pixel");
  switch (resize) {
    case Resize::box: return resample(image, size, size, Filter::box);
    case Resize::bilinear: return resample(image, size, size, Filter::triangle);
    case Resize::center_crop: {
      while (std::min(image.width, image.height) >= 2 * size) {
        image = resample(image, image.width / 2, image.height / 2, Filter::box);
      }
      double const scale =
          static_cast<double>(size) / static_cast<double>(std::min(image.width, image.height));
      auto const scaled = [&](std::size_t extent) {  // to even at halves, as Python's round()
        return static_cast<std::size_t>(std::nearbyint(static_cast<double>(extent) * scale));
      };
      return crop_middle(resample(image, scaled(image.width), scaled(image.height), Filter::cubic),
                         size);
    }
    default:
      DASHI_EXPECTS(image.width == size && image.height == size,
                    "without a resize rule images must have the size");
      return image;
  }
}

}  // namespace dashi::data
