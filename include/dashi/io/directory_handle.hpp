// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/input_file.hpp>
#include <dashi/io/listing.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

namespace dashi::io {

/// An open directory: files are opened relative to it, so that renaming a directory above does not
/// redirect later opens.
class DirectoryHandle {
public:
  explicit DirectoryHandle(std::filesystem::path path)
      : path_(std::move(path)),
        descriptor_(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (descriptor_ < 0) {
      throw IoError(IoStage::input, errno,
                    {.code = "cannot-open",
                     .file = path_.string(),
                     .place = {},
                     .found = "cannot open the directory",
                     .expected = {},
                     .advice = "check the path and its permissions"});
    }
  }
  DirectoryHandle(DirectoryHandle&& other) noexcept
      : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
  DirectoryHandle& operator=(DirectoryHandle&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  DirectoryHandle(DirectoryHandle const&) = delete;
  DirectoryHandle& operator=(DirectoryHandle const&) = delete;
  ~DirectoryHandle() {
    if (descriptor_ >= 0) {
      ::close(descriptor_);
    }
  }

  std::filesystem::path const& path() const noexcept { return path_; }
  int descriptor() const noexcept { return descriptor_; }

  /// Whether the directory has an entry of that bare name; a dangling symbolic link is one.
  bool contains(std::string const& name) const noexcept {
    struct stat s {};
    return ::fstatat(descriptor_, name.c_str(), &s, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
  }

  /// Opens the file of that bare name. A symbolic link is followed only when its target lies inside
  /// this directory, or when `allow_links` is set; else FormatError (65).
  InputFile open_inside(std::string const& name, bool allow_links) const {
    std::filesystem::path const shown = path_ / name;
    struct stat s {};
    bool const is_link =
        ::fstatat(descriptor_, name.c_str(), &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(s.st_mode);
    if (!is_link) {
      return InputFile(descriptor_, name, shown, O_NOFOLLOW);
    }
    if (!allow_links) {
      std::error_code error;
      std::filesystem::path const target = std::filesystem::canonical(shown, error);
      std::filesystem::path const home = std::filesystem::canonical(path_, error);
      if (error || !is_below(target, home)) {
        refuse_link(shown, target);
      }
      InputFile file(descriptor_, name, shown, 0);
      // The inode that was opened, and not only the name that was looked at, lies inside.
      if (::stat(target.c_str(), &s) != 0 || !same_file(file_identity(s), file.identity())) {
        refuse_link(shown, target);
      }
      return file;
    }
    return InputFile(descriptor_, name, shown, 0);
  }

private:
  static bool is_below(std::filesystem::path const& target, std::filesystem::path const& home) {
    std::filesystem::path const relative = target.lexically_relative(home);
    return !relative.empty() && *relative.begin() != ".." && relative != ".";
  }

  [[noreturn]] void refuse_link(std::filesystem::path const& shown,
                                std::filesystem::path const& target) const {
    throw FormatError(
        {.code = "link-leads-outside",
         .file = shown.string(),
         .place = {},
         .found = target.empty() ? std::string("a symbolic link that leads nowhere")
                                 : "a symbolic link to " + in_quotes(target.string()),
         .expected = "a file inside the index's directory",
         .advice =
             "if the links are meant, as in the Hugging Face cache, read with --allow-links"});
  }

  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace dashi::io
