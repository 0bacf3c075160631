// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/data/array_files.hpp>
#include <dashi/data/csv_set.hpp>
#include <dashi/data/folder_files.hpp>
#include <dashi/data/idx.hpp>
#include <dashi/data/image_set.hpp>
#include <dashi/data/latents_set.hpp>
#include <dashi/data/load_files.hpp>
#include <dashi/data/load_options.hpp>
#include <dashi/data/zip_files.hpp>
#include <dashi/io/gzip.hpp>
#include <dashi/io/input_file.hpp>
#include <dashi/io/npy.hpp>

#include <array>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace dashi::data {

namespace detail {

inline void expect_option(bool good, std::string option, std::string found, std::string expected) {
  if (!good) {
    throw UsageError({.code = "bad-option",
                      .file = {},
                      .place = std::move(option),
                      .found = std::move(found),
                      .expected = std::move(expected),
                      .advice = {}});
  }
}

inline void check_options(LoadOptions const& o) {
  expect_option(o.channels == 0 || o.channels == 1 || o.channels == 3, "channels",
                std::to_string(o.channels), "1, 3, or 0 for as in the files");
  expect_option(o.size >= 0 && o.size <= 8192, "size", std::to_string(o.size), "0 to 8192");
  expect_option(o.resize == Resize::none || o.size > 0, "resize",
                std::string(name(o.resize)) + " without a size", "a size of 1 or more");
  expect_option(o.class_depth >= 0, "class_depth", std::to_string(o.class_depth), "0 or more");
  expect_option(o.maximum > 0, "maximum", std::to_string(o.maximum), "a number above 0");
  expect_option(o.class_count >= 0, "class_count", std::to_string(o.class_count), "0 or more");
  expect_option(o.label_offset >= 0, "label_offset", std::to_string(o.label_offset), "0 or more");
}

/// Whether the file begins as a zip archive does, an empty one included.
inline bool is_zip(std::filesystem::path const& path) {
  io::InputFile const file(path);
  std::array<std::byte, 4> first{};
  if (file.size() < first.size()) {
    return false;
  }
  file.read_exact(0, first);
  return std::memcmp(first.data(), "PK\x03\x04", 4) == 0 ||
         std::memcmp(first.data(), "PK\x05\x06", 4) == 0;
}

}  // namespace detail

/// Reads a data set; what the path is decides how:
///
/// - a directory, a zip archive: images (PNG, JPEG) in class folders, load_files();
/// - .npy: u8, f4 or f8 [N, H, W] or [N, C, H, W] with labels beside it, npy_set();
/// - IDX: the format of MNIST, images and labels in two files, idx_set();
/// - .csv: an image and its label a line, csv_set();
/// - .safetensors: latents and labels, latents_set().
///
/// Files of the three in the middle may be packed with gzip. Throws UsageError for options without
/// meaning, IoError and FormatError.
inline ImageSet load(std::filesystem::path const& path, LoadOptions const& options = {}) {
  detail::check_options(options);
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return load_files(std::make_shared<FolderFiles>(path), options);
  }
  std::string const name = path.filename().string();
  if (name.ends_with(".safetensors")) {
    return latents_set(path, options);
  }
  if (detail::is_zip(path)) {
    return load_files(
        std::make_shared<ZipFiles>(path, static_cast<std::size_t>(options.class_depth)), options);
  }
  std::vector<std::byte> const bytes = io::read_whole(path);
  if (io::is_npy(bytes)) {
    return npy_set(path, bytes, options);
  }
  if (is_idx(bytes)) {
    return idx_set(path, bytes, options);
  }
  if (name.ends_with(".csv") || name.ends_with(".csv.gz")) {
    return csv_set(path, bytes, options);
  }
  throw FormatError({.code = "unknown-data",
                     .file = path.string(),
                     .place = {},
                     .found = "is no data set that is known",
                     .expected =
                         "a folder or .zip of class folders with PNG or JPEG images, an .npy, "
                         "IDX, .csv or .safetensors file",
                     .advice = "of images give the folder that holds the class folders"});
}

}  // namespace dashi::data
