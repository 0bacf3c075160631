// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/raster_check.hpp>

#include <turbojpeg.h>

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <string>

namespace dashi::io {

/// Whether the bytes begin as a JPEG file does.
inline bool is_jpeg(std::span<std::byte const> bytes) {
  return bytes.size() >= 3 && bytes[0] == std::byte{0xff} && bytes[1] == std::byte{0xd8} &&
         bytes[2] == std::byte{0xff};
}

/// Decodes a JPEG file that lies in memory, grey or RGB (from YCbCr), by TurboJPEG with its
/// accurate transform; `file` is its name for messages. Orientation tags are not looked at. Throws
/// FormatError for anything that is not a whole image, CMYK, and more than largest_raster_pixels.
inline Raster decode_jpeg(std::string const& file, std::span<std::byte const> bytes) {
  std::unique_ptr<void, int (*)(tjhandle)> const decoder(tjInitDecompress(), tjDestroy);
  if (decoder == nullptr) {
    throw std::bad_alloc();
  }
  auto const fail = [&] {
    detail::fail_image(file, tjGetErrorStr2(decoder.get()), "a whole JPEG image");
  };
  auto const* const data = reinterpret_cast<unsigned char const*>(bytes.data());
  auto const size = static_cast<unsigned long>(bytes.size());
  int width = 0, height = 0, subsampling = 0, colours = 0;
  if (tjDecompressHeader3(decoder.get(), data, size, &width, &height, &subsampling, &colours) !=
      0) {
    fail();
  }
  detail::expect_raster_size(file, static_cast<std::uint64_t>(width),
                             static_cast<std::uint64_t>(height));
  if (colours == TJCS_CMYK || colours == TJCS_YCCK) {
    detail::fail_image(file, "is a CMYK image", "a grey or RGB image");
  }
  Raster raster{static_cast<std::size_t>(width),
                static_cast<std::size_t>(height),
                colours == TJCS_GRAY ? std::size_t{1} : std::size_t{3},
                {}};
  raster.pixels.resize(raster.width * raster.height * raster.channels);
  if (tjDecompress2(decoder.get(), data, size, raster.pixels.data(), width, 0, height,
                    raster.channels == 1 ? TJPF_GRAY : TJPF_RGB, TJFLAG_ACCURATEDCT) != 0) {
    fail();
  }
  return raster;
}

}  // namespace dashi::io
