// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/data/byte_pixels.hpp>
#include <dashi/data/channels.hpp>
#include <dashi/data/class_table.hpp>
#include <dashi/data/float_pixels.hpp>
#include <dashi/data/image_array.hpp>
#include <dashi/data/image_set.hpp>
#include <dashi/data/image_set_digest.hpp>
#include <dashi/data/load_options.hpp>
#include <dashi/data/resize.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/raster.hpp>
#include <dashi/io/xxh3.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::data {

namespace detail {

[[noreturn]] inline void fail_array(std::string file, std::string code, std::string place,
                                    std::string found, std::string expected, std::string advice) {
  throw FormatError({.code = std::move(code),
                     .file = std::move(file),
                     .place = std::move(place),
                     .found = std::move(found),
                     .expected = std::move(expected),
                     .advice = std::move(advice)});
}

/// One label an image, each an index of the classes.
inline void check_labels(ImageArray& array, LoadOptions const& options) {
  if (options.class_depth == 0) {
    array.labels.emplace(array.count, 0);
    return;
  }
  if (!array.labels) {
    fail_array(array.path, "no-labels", {}, "has no labels",
               array.labels_path.empty() ? std::string() : "them in " + array.labels_path,
               "name their file, or choose class_depth 0 for images without classes");
  }
  if (array.labels->size() != array.count) {
    fail_array(array.labels_path, "label-count", {},
               "holds " + std::to_string(array.labels->size()) + " labels",
               std::to_string(array.count) + ", one for each image of " + array.path, {});
  }
  for (std::size_t i = 0; i < array.count; ++i) {
    std::int64_t const label = (*array.labels)[i];
    std::int64_t const limit = options.class_count > 0 ? options.class_count : 1'000'000;
    if (label < 0 || label >= limit) {
      fail_array(array.labels_path, "wrong-class", "image " + std::to_string(i),
                 "label " + std::to_string(label), "0 to " + std::to_string(limit - 1), {});
    }
  }
}

inline std::vector<std::string> numbered_classes(ImageArray const& array,
                                                 LoadOptions const& options) {
  if (options.class_depth == 0) {
    return {"all"};
  }
  std::int64_t const last = *std::max_element(array.labels->begin(), array.labels->end());
  std::vector<std::string> names;
  for (std::int64_t c = 0; c < std::max<std::int64_t>(last + 1, options.class_count); ++c) {
    names.push_back(std::to_string(c));
  }
  return names;
}

inline void expect_finite(ImageArray const& array) {
  auto const size = static_cast<std::size_t>(array.shape.size());
  for (std::size_t e = 0; e < array.floats.size(); ++e) {
    if (!std::isfinite(array.floats[e])) {
      fail_array(array.path, "not-finite",
                 "image " + std::to_string(e / size) + ", number " + std::to_string(e % size),
                 std::isnan(array.floats[e]) ? "NaN" : "an infinity", "finite numbers",
                 "leave the image out, or find out what made it");
    }
  }
}

/// The bytes of one image in the channels and the size that the options ask for.
inline std::vector<std::uint8_t> converted(std::span<std::uint8_t const> chw,
                                           ImageShape const& shape, LoadOptions const& options) {
  io::Raster image{static_cast<std::size_t>(shape.width),
                   static_cast<std::size_t>(shape.height),
                   static_cast<std::size_t>(shape.channels),
                   {}};
  image.pixels.resize(chw.size());
  std::size_t const plane = image.width * image.height;
  for (std::size_t e = 0; e < chw.size(); ++e) {
    image.pixels[e % plane * image.channels + e / plane] = chw[e];
  }
  if (options.channels != 0) {
    image = with_channels(std::move(image), static_cast<std::size_t>(options.channels));
  }
  if (options.resize != Resize::none) {
    image = resized(std::move(image), static_cast<std::size_t>(options.size), options.resize);
  }
  std::vector<std::uint8_t> planes(image.pixels.size());
  write_planes(image, planes.data());
  return planes;
}

/// Whether the options ask for what the array is not; floats are never converted.
inline bool must_convert(ImageArray const& array, LoadOptions const& options) {
  ImageShape const& shape = array.shape;
  bool const channels = options.channels != 0 && options.channels != shape.channels;
  bool const size =
      options.size != 0 && (options.size != shape.height || options.size != shape.width);
  bool const can = array.is_bytes && (!size || options.resize != Resize::none) &&
                   (!channels || shape.channels == 1 || shape.channels == 3);
  if ((channels || size) && !can) {
    fail_array(array.path, "mixed-shapes", {}, "holds images of " + shape_text(shape),
               "channels " + std::to_string(options.channels) + " and size " +
                   std::to_string(options.size) + " (0: any)",
               array.is_bytes ? "choose a resize rule (box, bilinear, center_crop)"
                              : "arrays of floats are taken as they are");
  }
  return channels || size;
}

}  // namespace detail

/// The set of an array: labels checked and mapped, images of classes that were not chosen left out,
/// bytes converted as the options say. Throws FormatError, and UsageError as ClassTable.
inline ImageSet array_set(ImageArray array, LoadOptions const& options) {
  if (array.count == 0 || array.shape.size() == 0) {
    detail::fail_array(array.path, "no-images", {}, "holds no image", {}, {});
  }
  detail::check_labels(array, options);
  ClassTable const table(array.path, detail::numbered_classes(array, options), options);
  detail::expect_finite(array);
  bool const convert = detail::must_convert(array, options);
  auto const size = static_cast<std::size_t>(array.shape.size());

  ImageSetParts parts;
  parts.class_names = table.names();
  parts.shape = array.shape;
  if (convert) {
    parts.shape.channels = options.channels != 0 ? options.channels : array.shape.channels;
    parts.shape.height = options.size != 0 ? options.size : array.shape.height;
    parts.shape.width = options.size != 0 ? options.size : array.shape.width;
  }
  std::vector<std::uint8_t> bytes;
  std::vector<float> floats;
  std::vector<io::Xxh3::Digest> digests;
  for (std::size_t i = 0; i < array.count; ++i) {
    std::int64_t const label =
        table.label(options.class_depth == 0 ? "all" : std::to_string((*array.labels)[i]));
    if (label < 0) {
      continue;
    }
    parts.labels.push_back(label);
    parts.names.push_back(std::to_string(i));
    if (array.is_bytes) {
      auto const image = std::span(array.bytes).subspan(i * size, size);
      std::size_t const begin = bytes.size();
      if (convert) {
        auto const planes = detail::converted(image, array.shape, options);
        bytes.insert(bytes.end(), planes.begin(), planes.end());
      } else {
        bytes.insert(bytes.end(), image.begin(), image.end());
      }
      digests.push_back(io::digest_of<io::Xxh3>(std::as_bytes(std::span(bytes).subspan(begin))));
    } else {
      auto const image = std::span(array.floats).subspan(i * size, size);
      digests.push_back(io::digest_of<io::Xxh3>(std::as_bytes(image)));
      for (float const value : image) {
        floats.push_back(options.invert ? -value : value);
      }
    }
  }
  if (parts.labels.empty()) {
    detail::fail_array(array.path, "no-images", {}, "holds no image of the classes chosen", {}, {});
  }
  parts.digest = image_set_digest(
      std::string(array.is_bytes ? "u8" : "f32") + (options.invert ? " inverted" : ""), parts.shape,
      parts.class_names, parts.names, parts.labels, digests);
  if (array.is_bytes) {
    parts.pixels = std::make_shared<BytePixels>(std::move(bytes), options.invert);
  } else {
    parts.pixels = std::make_shared<FloatPixels>(std::move(floats));
  }
  return ImageSet(std::move(parts));
}

}  // namespace dashi::data
