// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>

#include <filesystem>
#include <system_error>

namespace dashi::io {

/// Makes a folder unless it is there; what was made goes again, if it is empty, without keep().
class NewFolder {
public:
  explicit NewFolder(std::filesystem::path const& path) : path_(path) {
    std::error_code error;
    made_ = std::filesystem::create_directory(path_, error);
    if (error) {
      throw IoError(IoStage::create, error.value(),
                    {.code = "cannot-create",
                     .file = path.string(),
                     .place = {},
                     .found = "cannot create the folder",
                     .expected = {},
                     .advice = "check the path and its permissions"});
    }
  }
  NewFolder(NewFolder const&) = delete;
  NewFolder& operator=(NewFolder const&) = delete;
  ~NewFolder() {
    std::error_code ignored;
    if (made_) {
      std::filesystem::remove(path_, ignored);
    }
  }
  void keep() noexcept { made_ = false; }

private:
  std::filesystem::path path_;
  bool made_ = false;
};

}  // namespace dashi::io
