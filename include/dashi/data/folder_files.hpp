// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/data/image_files.hpp>
#include <dashi/io/checkpoint_path.hpp>
#include <dashi/io/input_file.hpp>
#include <dashi/io/raster_check.hpp>

#include <cstddef>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace dashi::data {

/// Image files of a directory and the directories in it; symbolic links are followed. Throws
/// IoError for a directory that cannot be listed and FormatError for nesting above 64 levels.
class FolderFiles final : public ImageFiles {
public:
  explicit FolderFiles(std::filesystem::path root) : root_(std::move(root)) { list({}, 0); }

  std::string path(File const& file) const override { return (root_ / file.name).string(); }
  std::string path() const override { return root_.string(); }

  std::vector<std::byte> read(File const& file) const override {
    io::InputFile const input(root_ / file.name);
    if (input.size() > largest_image_file) {
      io::detail::fail_image(path(file), "is " + std::to_string(input.size()) + " bytes large",
                             "at most " + std::to_string(largest_image_file));
    }
    std::vector<std::byte> bytes(static_cast<std::size_t>(input.size()));
    input.read_exact(0, bytes);
    return bytes;
  }

private:
  void list(std::string const& below, int depth) {
    if (depth > 64) {
      throw FormatError({.code = "folders-too-deep",
                         .file = (root_ / below).string(),
                         .place = {},
                         .found = "folders are nested more than 64 deep",
                         .expected = {},
                         .advice = "look for a symbolic link that leads back"});
    }
    for (std::string const& name : io::names_in(root_ / below)) {
      std::string const inner = below.empty() ? name : below + "/" + name;
      std::error_code error;
      if (is_hidden_name(name)) {
        continue;
      }
      if (std::filesystem::is_directory(root_ / inner, error)) {
        folders_.push_back(inner);
        list(inner, depth + 1);
      } else if (has_image_name(name)) {
        auto const size = std::filesystem::file_size(root_ / inner, error);
        files_.push_back({inner, error ? 0 : static_cast<std::uint64_t>(size), 0});
      }
    }
  }

  std::filesystem::path root_;
};

}  // namespace dashi::data
