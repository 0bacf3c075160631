// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/data/image_set.hpp>
#include <dashi/io/png_writer.hpp>
#include <dashi/io/raster.hpp>

#include <turbojpeg.h>
#include <zip.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/io/reader_fixture.hpp"

namespace dashi::test {

using reader_test::contains;
using reader_test::failure_of;

/// A folder of its own for one test, with folders in it, removed afterwards.
class DataFolder : public reader_test::ScratchDirectory {
public:
  std::filesystem::path write(std::string const& name, std::string_view content) const {
    std::filesystem::create_directories((path() / name).parent_path());
    return ScratchDirectory::write(name, content);
  }
  std::filesystem::path write(std::string const& name, std::vector<std::byte> const& bytes) const {
    return write(name, std::string_view(reinterpret_cast<char const*>(bytes.data()), bytes.size()));
  }
};

/// A raster whose pixels tell x, y, channel and `seed` apart.
inline io::Raster pattern(std::size_t width, std::size_t height, std::size_t channels,
                          std::size_t seed = 0) {
  io::Raster raster{width, height, channels, {}};
  for (std::size_t y = 0; y < height; ++y) {
    for (std::size_t x = 0; x < width; ++x) {
      for (std::size_t c = 0; c < channels; ++c) {
        raster.pixels.push_back(
            static_cast<std::uint8_t>(x * 37 + y * 91 + c * 53 + x * y * 11 + seed));
      }
    }
  }
  return raster;
}

inline std::vector<std::byte> png_of(std::size_t width, std::size_t height, std::size_t channels,
                                     std::size_t seed = 0) {
  return io::encode_png(pattern(width, height, channels, seed));
}

inline std::vector<std::byte> jpeg_of(io::Raster const& raster) {
  tjhandle const encoder = tjInitCompress();
  unsigned char* out = nullptr;
  unsigned long size = 0;
  bool const grey = raster.channels == 1;
  tjCompress2(encoder, raster.pixels.data(), static_cast<int>(raster.width), 0,
              static_cast<int>(raster.height), grey ? TJPF_GRAY : TJPF_RGB, &out, &size,
              grey ? TJSAMP_GRAY : TJSAMP_444, 95, TJFLAG_ACCURATEDCT);
  auto const* const first = reinterpret_cast<std::byte const*>(out);
  std::vector<std::byte> bytes(first, first + size);
  tjFree(out);
  tjDestroy(encoder);
  return bytes;
}

using ZipEntries = std::vector<std::pair<std::string, std::vector<std::byte>>>;

/// A zip archive with those entries, in their order; names that end in '/' are folders.
inline void write_zip(std::filesystem::path const& path, ZipEntries const& entries) {
  int code = 0;
  zip_t* const archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  for (auto const& [name, bytes] : entries) {
    if (name.ends_with('/')) {
      zip_dir_add(archive, name.c_str(), 0);
    } else {
      zip_file_add(archive, name.c_str(), zip_source_buffer(archive, bytes.data(), bytes.size(), 0),
                   0);
    }
  }
  zip_close(archive);
}

inline std::vector<float> image(data::ImageSet const& set, std::size_t i) {
  std::vector<float> chw(static_cast<std::size_t>(set.shape().size()));
  set.read(i, chw);
  return chw;
}

/// The 8-bit values behind the floats of an image that was not inverted.
inline std::vector<std::uint8_t> byte_image(data::ImageSet const& set, std::size_t i) {
  std::vector<std::uint8_t> bytes;
  for (float const x : image(set, i)) {
    bytes.push_back(static_cast<std::uint8_t>(std::lround((x + 1) * 127.5F)));
  }
  return bytes;
}

}  // namespace dashi::test
