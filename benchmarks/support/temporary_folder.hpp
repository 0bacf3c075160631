// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace dashi::bench {

/// A new folder for the files of this run, in DASHI_BENCH_FOLDER or the system's folder for
/// temporary files.
inline std::filesystem::path temporary_folder() {
  static std::filesystem::path const made = [] {
    char const* const text = std::getenv("DASHI_BENCH_FOLDER");
    std::string pattern =
        ((text == nullptr ? std::filesystem::temp_directory_path() : std::filesystem::path(text)) /
         "dashi-bench-XXXXXX")
            .string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      std::perror("mkdtemp");
      std::exit(73);
    }
    return std::filesystem::path(pattern);
  }();
  return made;
}

}  // namespace dashi::bench
