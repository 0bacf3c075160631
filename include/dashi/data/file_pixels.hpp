// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/data/byte_pixels.hpp>
#include <dashi/data/channels.hpp>
#include <dashi/data/decode_image.hpp>
#include <dashi/data/image_files.hpp>
#include <dashi/data/image_pixels.hpp>
#include <dashi/data/image_shape.hpp>
#include <dashi/data/load_options.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/xxh3.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::data {

inline ImageShape shape_of(io::Raster const& image) {
  return {static_cast<Index>(image.channels), static_cast<Index>(image.height),
          static_cast<Index>(image.width)};
}

/// An image of another shape is no broken file: what the user asked for cannot be had.
class MixedShapes : public FormatError {
public:
  using FormatError::FormatError;
};

/// `whose` says what the expected shape is from.
inline void expect_shape(std::string const& file, ImageShape const& found,
                         ImageShape const& expected, std::string const& whose) {
  if (found != expected) {
    throw MixedShapes(
        {.code = "mixed-shapes",
         .file = file,
         .place = {},
         .found = "is an image of " + shape_text(found) + " (channels, height, width)",
         .expected = shape_text(expected) + " " + whose,
         .advice = found.channels != expected.channels
                       ? "choose channels 1 or 3 for all images"
                       : "choose a resize rule (box, bilinear, center_crop) and a size"});
  }
}

/// Images of files: the first ones decoded in memory with 8 bits a value, as many as the budget
/// allows; the others decoded whenever they are read.
class FilePixels final : public ImagePixels {
public:
  FilePixels(std::shared_ptr<ImageFiles const> source, std::vector<ImageFiles::File> files,
             ImageShape shape, std::string shaped_like, LoadOptions options)
      : source_(std::move(source)),
        files_(std::move(files)),
        shape_(shape),
        shaped_like_(std::move(shaped_like)),
        options_(std::move(options)),
        values_(byte_values(options_.invert)),
        digests_(files_.size()),
        kept_(std::min<std::uint64_t>(files_.size(), options_.memory / image_bytes())) {
    options_.progress = nullptr;  // it need not live as long as the set
    bytes_.resize(kept_ * image_bytes());
    for (std::size_t i = 0; i < files_.size(); ++i) {
      file_of_.push_back(i);
    }
  }

  /// Decodes file i and keeps it if there is room. Thread-safe for different files. Throws
  /// FormatError and IoError.
  void decode(std::size_t i) {
    std::vector<std::uint8_t> const planes = decoded(i);
    digests_[i] = io::digest_of<io::Xxh3>(std::as_bytes(std::span(planes)));
    if (i < kept_) {
      std::copy(planes.begin(), planes.end(), bytes_.data() + i * image_bytes());
    }
  }

  /// Leaves out the files that are marked; images then have the numbers that remain.
  void leave_out(std::vector<char> const& marked) {
    std::erase_if(file_of_, [&](std::size_t file) { return marked[file] != 0; });
  }

  /// Of the decoded bytes of image i.
  io::Xxh3::Digest const& digest(std::size_t i) const { return digests_[file_of_[i]]; }

  void read(std::size_t i, std::span<float> chw) const override {
    std::size_t const file = file_of_[i];
    if (file < kept_) {
      map(bytes_.data() + file * image_bytes(), chw);
      return;
    }
    std::vector<std::uint8_t> const planes = decoded(file);
    if (io::digest_of<io::Xxh3>(std::as_bytes(std::span(planes))) != digests_[file]) {
      throw FormatError({.code = "image-changed",
                         .file = source_->path(files_[file]),
                         .place = {},
                         .found = "holds another image than when the set was loaded",
                         .expected = {},
                         .advice = "leave the data alone while it is used"});
    }
    map(planes.data(), chw);
  }
  std::uint64_t memory() const override { return bytes_.size(); }

private:
  std::size_t image_bytes() const { return static_cast<std::size_t>(shape_.size()); }

  void map(std::uint8_t const* planes, std::span<float> chw) const {
    for (std::size_t e = 0; e < chw.size(); ++e) {
      chw[e] = values_[planes[e]];
    }
  }

  /// [channels, height, width] of file i.
  std::vector<std::uint8_t> decoded(std::size_t i) const {
    std::string const path = source_->path(files_[i]);
    io::Raster const image = decode_image(path, source_->read(files_[i]), options_);
    expect_shape(path, shape_of(image), shape_, "as " + shaped_like_);
    std::vector<std::uint8_t> planes(image_bytes());
    write_planes(image, planes.data());
    return planes;
  }

  std::shared_ptr<ImageFiles const> source_;
  std::vector<ImageFiles::File> files_;
  ImageShape shape_;
  std::string shaped_like_;  ///< path of the file that gave the shape
  LoadOptions options_;
  std::array<float, 256> values_;
  std::vector<io::Xxh3::Digest> digests_;
  std::size_t kept_;  ///< files below are in bytes_
  std::vector<std::uint8_t> bytes_;
  std::vector<std::size_t> file_of_;
};

}  // namespace dashi::data
