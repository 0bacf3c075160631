// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/data/file_pixels.hpp>
#include <dashi/data/image_files.hpp>
#include <dashi/data/image_set.hpp>
#include <dashi/data/image_set_digest.hpp>
#include <dashi/data/label_files.hpp>
#include <dashi/data/load_options.hpp>
#include <dashi/io/for_each_on_threads.hpp>
#include <dashi/io/progress.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dashi::data {

namespace detail {

/// The first file that is an image says what shape they all have.
inline std::optional<std::pair<std::size_t, ImageShape>> first_shape(
    ImageFiles const& source, std::vector<ImageFiles::File> const& files,
    LoadOptions const& options) {
  for (std::size_t i = 0; i < files.size(); ++i) {
    try {
      std::string const path = source.path(files[i]);
      ImageShape const shape = shape_of(decode_image(path, source.read(files[i]), options));
      if (options.size != 0) {
        expect_shape(path, shape, {shape.channels, options.size, options.size},
                     "as the options say");
      }
      return std::pair(i, shape);
    } catch (MixedShapes const&) {
      throw;
    } catch (Error const&) {
      if (options.strict) {
        throw;
      }
    }
  }
  return std::nullopt;
}

/// Every class must be left with an image.
inline void expect_filled_classes(std::string const& where, LabelledFiles const& labelled,
                                  std::vector<char> const& is_broken, LoadOptions const& options) {
  std::vector<char> filled(labelled.class_names.size(), 0);
  for (std::size_t i = 0; i < labelled.labels.size(); ++i) {
    filled[static_cast<std::size_t>(labelled.labels[i])] |= static_cast<char>(is_broken[i] == 0);
  }
  for (auto label = static_cast<std::size_t>(options.label_offset); label < filled.size();
       ++label) {
    if (filled[label] == 0) {
      fail_folder(
          where, "empty-class",
          "no image of class " + io::in_quotes(labelled.class_names[label]) + " could be decoded",
          "copy or make the images again");
    }
  }
}

}  // namespace detail

/// The labelled images of a folder or an archive. Decodes each once, on options.threads threads.
///
/// A file that cannot be read or decoded is named in ImageSet::broken() and left out, with
/// options.strict it is an error. Throws FormatError also when images have different shapes and
/// there is no resize rule, and as label_files().
inline ImageSet load_files(std::shared_ptr<ImageFiles const> source, LoadOptions const& options) {
  LabelledFiles labelled = label_files(*source, options);
  std::vector<ImageFiles::File> const& files = labelled.files;
  io::Progress& progress = options.progress == nullptr ? io::no_progress() : *options.progress;
  std::uint64_t total = 0;
  for (ImageFiles::File const& file : files) {
    total += file.size;
  }
  progress.start(total);

  std::vector<std::string> reasons(files.size());
  std::vector<char> is_broken(files.size(), 0);
  auto const first = detail::first_shape(*source, files, options);
  std::shared_ptr<FilePixels> pixels;
  if (first) {
    pixels = std::make_shared<FilePixels>(source, files, first->second,
                                          source->path(files[first->first]), options);
    std::size_t const threads = options.threads == 0 ? io::machine_threads() : options.threads;
    io::for_each_on_threads(files.size(), threads, [&](std::size_t i) {
      try {
        pixels->decode(i);
      } catch (MixedShapes const&) {
        throw;
      } catch (Error const& error) {
        if (options.strict) {
          throw;
        }
        reasons[i] = error.what();
        is_broken[i] = 1;
      }
      progress.advance(files[i].size);
    });
  } else {
    is_broken.assign(files.size(), 1);
  }
  detail::expect_filled_classes(source->path(), labelled, is_broken, options);
  pixels->leave_out(is_broken);

  ImageSetParts parts;
  parts.shape = first->second;
  parts.class_names = std::move(labelled.class_names);
  std::vector<io::Xxh3::Digest> digests;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (is_broken[i] != 0) {
      parts.broken.push_back({source->path(files[i]), std::move(reasons[i])});
      continue;
    }
    digests.push_back(pixels->digest(digests.size()));
    parts.names.push_back(files[i].name);
    parts.labels.push_back(labelled.labels[i]);
  }
  parts.digest = image_set_digest(options.invert ? "u8 inverted" : "u8", parts.shape,
                                  parts.class_names, parts.names, parts.labels, digests);
  parts.pixels = std::move(pixels);
  return ImageSet(std::move(parts));
}

}  // namespace dashi::data
