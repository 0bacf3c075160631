// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/raster.hpp>

#include <string>
#include <utility>

namespace dashi::io::detail {

[[noreturn]] inline void fail_image(std::string const& file, std::string found,
                                    std::string expected) {
  throw FormatError({.code = "broken-image",
                     .file = file,
                     .place = {},
                     .found = std::move(found),
                     .expected = std::move(expected),
                     .advice = "copy or make the image again"});
}

/// Refuses what nobody trains on before memory is taken for it.
inline void expect_raster_size(std::string const& file, std::uint64_t width, std::uint64_t height) {
  if (width == 0 || height == 0 || width > largest_raster_pixels ||
      height > largest_raster_pixels / width) {
    fail_image(file, "claims " + std::to_string(width) + " x " + std::to_string(height) + " pixels",
               "1 to " + std::to_string(largest_raster_pixels) + " pixels");
  }
}

}  // namespace dashi::io::detail
