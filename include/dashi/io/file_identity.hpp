// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string_view>

namespace dashi::io {

/// What tells one file, and one version of it, from another.
struct FileIdentity {
  std::uint64_t dev = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;     ///< bytes
  std::int64_t mtime_ns = 0;  ///< modification time, nanoseconds since 1970

  friend bool operator==(FileIdentity const&, FileIdentity const&) = default;
};

/// Whether both name the same file, whatever its version: hard links and symbolic links included.
constexpr bool same_file(FileIdentity const& a, FileIdentity const& b) noexcept {
  return a.dev == b.dev && a.inode == b.inode;
}

inline FileIdentity file_identity(struct stat const& s) noexcept {
  return {.dev = static_cast<std::uint64_t>(s.st_dev),
          .inode = static_cast<std::uint64_t>(s.st_ino),
          .size = static_cast<std::uint64_t>(s.st_size),
          .mtime_ns = static_cast<std::int64_t>(s.st_mtim.tv_sec) * 1'000'000'000 +
                      static_cast<std::int64_t>(s.st_mtim.tv_nsec)};
}

/// "a directory", "a FIFO (named pipe)", ... for messages.
constexpr std::string_view file_kind(mode_t mode) noexcept {
  switch (mode & S_IFMT) {
    case S_IFREG: return "a regular file";
    case S_IFDIR: return "a directory";
    case S_IFIFO: return "a FIFO (named pipe)";
    case S_IFSOCK: return "a socket";
    case S_IFCHR: return "a character device";
    case S_IFBLK: return "a block device";
    case S_IFLNK: return "a symbolic link";
    default: return "a file of unknown kind";
  }
}

/// Whether the file holds no data at all, only a hole, as `truncate -s 8T` makes it. False where
/// the file system cannot tell.
inline bool is_one_hole(int descriptor, struct stat const& s) noexcept {
#ifdef SEEK_DATA
  if (::lseek(descriptor, 0, SEEK_DATA) < 0 && errno == ENXIO && s.st_size > 0) {
    return true;
  }
#endif
  // File systems without SEEK_DATA; small files may live inside the inode and own no block.
  return s.st_blocks == 0 && s.st_size >= off_t{1} << 30;
}

}  // namespace dashi::io
