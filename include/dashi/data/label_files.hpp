// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/data/class_table.hpp>
#include <dashi/data/image_files.hpp>
#include <dashi/data/load_options.hpp>
#include <dashi/io/listing.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::data {

/// Images of folders with their labels, ordered by label and then by name (bytewise).
struct LabelledFiles {
  std::vector<std::string> class_names;  ///< by label
  std::vector<ImageFiles::File> files;
  std::vector<std::int64_t> labels;
};

namespace detail {

/// The first `depth` folders of a path, or nothing when it lies in fewer.
inline std::string leading_folders(std::string_view name, Index depth) {
  std::size_t at = 0;
  for (; depth > 0; --depth) {
    std::size_t const end = name.find('/', at);
    if (end == std::string_view::npos) {
      return {};
    }
    at = end + 1;
  }
  return std::string(name.substr(0, at == 0 ? 0 : at - 1));
}

[[noreturn]] inline void fail_folder(std::string file, std::string code, std::string found,
                                     std::string advice) {
  throw FormatError({.code = std::move(code),
                     .file = std::move(file),
                     .place = {},
                     .found = std::move(found),
                     .expected = {},
                     .advice = std::move(advice)});
}

}  // namespace detail

/// Folders are classes: the class of an image is named by the first class_depth folders of its
/// path, joined by '/'; classes are labelled in the bytewise order of their names. With depth 0
/// there is one class, "all".
///
/// Throws FormatError when there is no image, an image lies outside the class folders, or a chosen
/// class folder holds none; UsageError as ClassTable.
inline LabelledFiles label_files(ImageFiles const& source, LoadOptions const& options) {
  Index const depth = options.class_depth;
  if (source.files().empty()) {
    detail::fail_folder(source.path(), "no-images", "holds no image",
                        "images are files named *.png, *.jpg or *.jpeg");
  }
  std::set<std::string> names;
  std::set<std::string> filled;  // folders with an image somewhere below
  for (ImageFiles::File const& file : source.files()) {
    std::string name = detail::leading_folders(file.name, depth);
    if (depth > 0 && name.empty()) {
      detail::fail_folder(source.path(file), "no-class-folder",
                          "lies in no class folder of depth " + std::to_string(depth),
                          "put it into one, or choose class_depth 0 for images without classes");
    }
    for (std::size_t at = file.name.find('/'); at != std::string::npos;
         at = file.name.find('/', at + 1)) {
      filled.insert(file.name.substr(0, at));
    }
    names.insert(depth > 0 ? std::move(name) : std::string("all"));
  }
  for (std::string const& folder : source.folders()) {
    bool const deeper = std::count(folder.begin(), folder.end(), '/') >= depth;
    bool const wanted =
        options.classes.empty() ||
        std::find(options.classes.begin(), options.classes.end(), folder) != options.classes.end();
    if (!deeper && wanted && filled.count(folder) == 0) {
      detail::fail_folder(source.path(), "empty-class",
                          "class folder " + io::in_quotes(folder) + " holds no image",
                          "remove it, or put images named *.png, *.jpg or *.jpeg into it");
    }
  }
  ClassTable const table(source.path(), {names.begin(), names.end()}, options);
  std::vector<std::pair<std::int64_t, ImageFiles::File const*>> order;
  for (ImageFiles::File const& file : source.files()) {
    std::int64_t const label =
        table.label(depth > 0 ? detail::leading_folders(file.name, depth) : std::string("all"));
    if (label >= 0) {
      order.emplace_back(label, &file);
    }
  }
  std::sort(order.begin(), order.end(), [](auto const& a, auto const& b) {
    return a.first != b.first ? a.first < b.first : a.second->name < b.second->name;
  });
  LabelledFiles result{table.names(), {}, {}};
  for (auto const& [label, file] : order) {
    result.labels.push_back(label);
    result.files.push_back(*file);
  }
  return result;
}

}  // namespace dashi::data
