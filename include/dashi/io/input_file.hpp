// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/file_identity.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

namespace dashi::io {

/// A regular file opened for positional reads. Opened once; never mapped, so that another process
/// that truncates the file causes an IoError and not SIGBUS.
///
/// Throws IoError: stage input (66; 77 without permission) when the path is missing or is not a
/// regular file with data in it, stage transfer (74) when reading fails or the size changed.
class InputFile {
public:
  /// Follows symbolic links: the path is the user's own choice.
  explicit InputFile(std::filesystem::path const& path) : InputFile(AT_FDCWD, path, path, 0) {}

  /// Opens `name` relative to an open directory. `shown` is the path for messages; `flags` are
  /// added to those of open(2) (O_NOFOLLOW).
  InputFile(int directory, std::filesystem::path const& name, std::filesystem::path shown,
            int flags)
      : path_(std::move(shown)) {
    refuse_irregular(directory, name, flags);
    // O_NONBLOCK: should a FIFO have taken the file's place since, opening must not wait.
    do {
      descriptor_ =
          ::openat(directory, name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
    } while (descriptor_ < 0 && errno == EINTR);
    if (descriptor_ < 0) {
      fail_input(errno, "cannot open the file");
    }
    try {
      identify();
    } catch (...) {
      ::close(descriptor_);
      throw;
    }
  }

  InputFile(InputFile&& other) noexcept
      : path_(std::move(other.path_)),
        descriptor_(std::exchange(other.descriptor_, -1)),
        identity_(other.identity_) {}
  InputFile& operator=(InputFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(descriptor_, other.descriptor_);
    std::swap(identity_, other.identity_);
    return *this;
  }
  InputFile(InputFile const&) = delete;
  InputFile& operator=(InputFile const&) = delete;
  ~InputFile() {
    if (descriptor_ >= 0) {
      ::close(descriptor_);
    }
  }

  std::filesystem::path const& path() const noexcept { return path_; }
  std::uint64_t size() const noexcept { return identity_.size; }  ///< bytes, when opened
  FileIdentity const& identity() const noexcept { return identity_; }
  int descriptor() const noexcept { return descriptor_; }  ///< owned by this object

  /// Fills `out` from byte `offset` of the file. Thread-safe; transparent to signals and short
  /// reads.
  void read_exact(std::uint64_t offset, std::span<std::byte> out) const {
    if (offset > size() || out.size() > size() - offset) {
      fail_short(offset, out.size(), size());
    }
    std::size_t done = 0;
    while (done < out.size()) {
      std::size_t const step = std::min(out.size() - done, largest_read);
      ssize_t const got =
          ::pread(descriptor_, out.data() + done, step, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got < 0) {
        throw IoError(IoStage::transfer, errno,
                      {.code = "read-failed",
                       .file = path_.string(),
                       .place = "byte " + std::to_string(offset + done),
                       .found = "cannot read " + std::to_string(out.size() - done) + " bytes",
                       .expected = {},
                       .advice = "check the disk or the network file system"});
      }
      if (got == 0) {
        fail_short(offset, out.size(), offset + done);
      }
      done += static_cast<std::size_t>(got);
    }
    if (current_identity().size != size()) {
      fail_changed("size is now " + std::to_string(current_identity().size) + " bytes",
                   std::to_string(size()) + " bytes as when it was opened");
    }
  }

  /// Throws IoError (transfer) when size or modification time differ from those at opening. Call it
  /// after the last read and before publishing what was computed from the file.
  void expect_unchanged() const {
    FileIdentity const now = current_identity();
    if (now.size != identity_.size) {
      fail_changed("size is now " + std::to_string(now.size) + " bytes",
                   std::to_string(identity_.size) + " bytes as when it was opened");
    }
    if (now.mtime_ns != identity_.mtime_ns) {
      fail_changed("modification time changed while the file was being read",
                   "the time it had when it was opened");
    }
  }

private:
  static constexpr std::size_t largest_read = std::size_t{1} << 30;  // the kernel stops below 2^31

  /// Looks before opening: to open a device may already have an effect, and a socket cannot be
  /// opened.
  void refuse_irregular(int directory, std::filesystem::path const& name, int flags) const {
    struct stat s {};
    if (::fstatat(directory, name.c_str(), &s,
                  (flags & O_NOFOLLOW) != 0 ? AT_SYMLINK_NOFOLLOW : 0) != 0) {
      fail_input(errno, "cannot open the file");
    }
    expect_regular(s);
  }

  void expect_regular(struct stat const& s) const {
    if (!S_ISREG(s.st_mode)) {
      throw IoError(IoStage::input, 0,
                    {.code = "not-a-file",
                     .file = path_.string(),
                     .place = {},
                     .found = "is " + std::string(file_kind(s.st_mode)),
                     .expected = "a regular file",
                     .advice = "give the path of the checkpoint file itself"});
    }
  }

  void identify() {
    struct stat s {};
    if (::fstat(descriptor_, &s) != 0) {
      fail_input(errno, "cannot find out what the file is");
    }
    expect_regular(s);
    identity_ = file_identity(s);
    if (s.st_size == 0) {
      throw IoError(IoStage::input, 0,
                    {.code = "empty-file",
                     .file = path_.string(),
                     .place = {},
                     .found = "the file is empty (0 bytes)",
                     .expected = "data",
                     .advice = "copy or download it again"});
    }
    if (is_one_hole(descriptor_, s)) {
      throw IoError(IoStage::input, 0,
                    {.code = "sparse-file",
                     .file = path_.string(),
                     .place = {},
                     .found = "is a sparse file of " + std::to_string(size()) +
                              " bytes with no data in it, only a hole",
                     .expected = "data",
                     .advice = "a download reserved the space and never wrote; fetch it again"});
    }
  }

  FileIdentity current_identity() const {
    struct stat s {};
    if (::fstat(descriptor_, &s) != 0) {
      throw IoError(IoStage::transfer, errno,
                    {.code = "read-failed",
                     .file = path_.string(),
                     .place = {},
                     .found = "cannot find out whether the file changed",
                     .expected = {},
                     .advice = "check the disk or the network file system"});
    }
    return file_identity(s);
  }

  [[noreturn]] void fail_input(int system_error, std::string found) const {
    throw IoError(IoStage::input, system_error,
                  {.code = system_error == ENOENT ? "no-such-file" : "cannot-open",
                   .file = path_.string(),
                   .place = {},
                   .found = std::move(found),
                   .expected = {},
                   .advice = "check the path and its permissions"});
  }

  [[noreturn]] void fail_short(std::uint64_t offset, std::size_t wanted, std::uint64_t end) const {
    throw IoError(
        IoStage::transfer, 0,
        {.code = "short-read",
         .file = path_.string(),
         .place = "byte " + std::to_string(end),
         .found = "the file ends here",
         .expected = std::to_string(wanted) + " bytes from byte " + std::to_string(offset),
         .advice = "another program shortened the file; restore it and run again"});
  }

  [[noreturn]] void fail_changed(std::string found, std::string expected) const {
    throw IoError(IoStage::transfer, 0,
                  {.code = "file-changed",
                   .file = path_.string(),
                   .place = {},
                   .found = std::move(found),
                   .expected = std::move(expected),
                   .advice = "another program writes this file; run again when it is done"});
  }

  std::filesystem::path path_;
  int descriptor_ = -1;
  FileIdentity identity_;
};

}  // namespace dashi::io
