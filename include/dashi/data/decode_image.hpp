// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/data/channels.hpp>
#include <dashi/data/load_options.hpp>
#include <dashi/data/resize.hpp>
#include <dashi/io/jpeg.hpp>
#include <dashi/io/png_reader.hpp>
#include <dashi/io/raster.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <utility>

namespace dashi::data {

/// A PNG or JPEG file in the channels and the size that the options ask for; which of the two it is
/// the bytes decide, not the name. With Resize::none the size stays what it is. Throws FormatError.
inline io::Raster decode_image(std::string const& file, std::span<std::byte const> bytes,
                               LoadOptions const& options) {
  io::Raster image;
  if (io::is_png(bytes)) {
    image = io::decode_png(file, bytes).raster;
  } else if (io::is_jpeg(bytes)) {
    image = io::decode_jpeg(file, bytes);
  } else {
    io::detail::fail_image(file, "begins neither as a PNG nor as a JPEG file", "an image");
  }
  if (options.channels != 0) {
    image = with_channels(std::move(image), static_cast<std::size_t>(options.channels));
  }
  if (options.resize != Resize::none) {
    image = resized(std::move(image), static_cast<std::size_t>(options.size), options.resize);
  }
  return image;
}

}  // namespace dashi::data
