// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace dashi::merging {

/// A new folder that only this user can enter, removed with all it holds at the end of its life.
/// IoError (create) when `parent` does not let it be made.
class PrivateFolder {
public:
  explicit PrivateFolder(std::filesystem::path const& parent) {
    std::string pattern = (parent / ".dashi-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      throw IoError(IoStage::create, errno,
                    {.code = "cannot-create",
                     .file = parent.string(),
                     .place = {},
                     .found = "cannot make a temporary folder in it",
                     .expected = {},
                     .advice = "name an existing folder that can be written to"});
    }
    path_ = pattern;
  }
  PrivateFolder(PrivateFolder const&) = delete;
  PrivateFolder& operator=(PrivateFolder const&) = delete;
  ~PrivateFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::filesystem::path const& path() const noexcept { return path_; }

private:
  std::filesystem::path path_;
};

}  // namespace dashi::merging
