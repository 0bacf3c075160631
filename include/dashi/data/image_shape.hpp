// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/checked_multiply.hpp>
#include <dashi/core/tensor.hpp>

#include <string>

namespace dashi::data {

/// Extents of every image of a set; stored channel by channel, row by row.
struct ImageShape {
  Index channels = 0;
  Index height = 0;
  Index width = 0;

  /// Numbers in one image.
  Index size() const { return checked_multiply(channels, height, width); }
  friend bool operator==(ImageShape const&, ImageShape const&) = default;
};

/// "3 x 32 x 32": channels, height, width.
inline std::string shape_text(ImageShape const& shape) {
  return std::to_string(shape.channels) + " x " + std::to_string(shape.height) + " x " +
         std::to_string(shape.width);
}

}  // namespace dashi::data
