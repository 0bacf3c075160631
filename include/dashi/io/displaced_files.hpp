// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/output_directory.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace dashi::io {

/// Files moved out of the way under hidden names, to be removed at the end or put back on an error.
/// The names are those of temporaries of the directory's output: its next writer removes what a
/// killed process left.
class DisplacedFiles {
public:
  explicit DisplacedFiles(OutputDirectory const& directory) : directory_(directory) {}
  DisplacedFiles(DisplacedFiles const&) = delete;
  DisplacedFiles& operator=(DisplacedFiles const&) = delete;
  ~DisplacedFiles() { restore(); }

  /// Moves `name` away. Throws IoError.
  void displace(std::string const& name) {
    moved_.reserve(moved_.size() + 1);
    std::pair<std::string, std::string> moved(name, directory_.temporary_name());
    int const directory = directory_.descriptor();
    if (retry_interrupted([&] {
          return ::renameat(directory, name.c_str(), directory, moved.second.c_str());
        }) != 0) {
      directory_.fail(errno, "cannot move " + name + " out of the way",
                      "check the directory's permissions");
    }
    moved_.push_back(std::move(moved));  // cannot fail: a file that is moved is remembered
  }

  /// Puts everything back, unless its name has been taken meanwhile.
  void restore() noexcept {
    int const directory = directory_.descriptor();
    for (; !moved_.empty(); moved_.pop_back()) {
      auto const& [name, hidden] = moved_.back();
      if (::renameat2(directory, hidden.c_str(), directory, name.c_str(), RENAME_NOREPLACE) != 0 &&
          (errno == EINVAL || errno == ENOSYS) &&
          ::faccessat(directory, name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0) {
        ::renameat(directory, hidden.c_str(), directory, name.c_str());
      }
    }
  }

  void remove() noexcept {
    for (; !moved_.empty(); moved_.pop_back()) {
      ::unlinkat(directory_.descriptor(), moved_.back().second.c_str(), 0);
    }
  }

private:
  OutputDirectory const& directory_;
  std::vector<std::pair<std::string, std::string>> moved_;  ///< name, hidden name
};

}  // namespace dashi::io
