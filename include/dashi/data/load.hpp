// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/data/folder_files.hpp>
#include <dashi/data/image_set.hpp>
#include <dashi/data/load_files.hpp>
#include <dashi/data/load_options.hpp>
#include <dashi/data/zip_files.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

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
  expect_option(o.label_offset >= 0, "label_offset", std::to_string(o.label_offset), "0 or more");
}

}  // namespace detail

/// Reads a data set; what the path is decides how:
///
/// - a directory or a .zip file: images (PNG, JPEG) in class folders, load_files().
///
/// Throws UsageError for options without meaning, IoError and FormatError.
inline ImageSet load(std::filesystem::path const& path, LoadOptions const& options = {}) {
  detail::check_options(options);
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return load_files(std::make_shared<FolderFiles>(path), options);
  }
  return load_files(std::make_shared<ZipFiles>(path, static_cast<std::size_t>(options.class_depth)),
                    options);
}

}  // namespace dashi::data
