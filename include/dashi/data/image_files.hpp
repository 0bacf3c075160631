// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dashi::data {

/// Largest file that is decoded as one image, bytes.
inline constexpr std::uint64_t largest_image_file = std::uint64_t{1} << 28;

/// The image files below one folder, wherever the folder is: names first, bytes when asked.
class ImageFiles {
public:
  struct File {
    std::string name;         ///< below the folder, '/' between its parts
    std::uint64_t size = 0;   ///< bytes
    std::uint64_t index = 0;  ///< of the container's own
  };

  ImageFiles() = default;
  ImageFiles(ImageFiles const&) = delete;
  ImageFiles& operator=(ImageFiles const&) = delete;
  virtual ~ImageFiles() = default;

  /// Files whose names are those of images.
  std::vector<File> const& files() const noexcept { return files_; }
  /// Every folder below, also without images.
  std::vector<std::string> const& folders() const noexcept { return folders_; }

  /// The whole path, for messages.
  virtual std::string path(File const& file) const = 0;
  virtual std::string path() const = 0;
  /// Thread-safe. Throws IoError and FormatError.
  virtual std::vector<std::byte> read(File const& file) const = 0;

protected:
  std::vector<File> files_;
  std::vector<std::string> folders_;
};

/// *.png, *.jpg, *.jpeg, in any case.
inline bool has_image_name(std::string_view name) {
  std::string lower;
  for (char const c : name) {
    lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return lower.ends_with(".png") || lower.ends_with(".jpg") || lower.ends_with(".jpeg");
}

/// Files and folders that file managers and archivers leave beside the data.
inline bool is_hidden_name(std::string_view name) {
  return name.starts_with(".") || name == "__MACOSX";
}

}  // namespace dashi::data
