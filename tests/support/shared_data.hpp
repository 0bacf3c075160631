// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <catch2/catch_test_macros.hpp>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace dashi::test {

/// The folder of data that is kept beside the repository: $DASHI_SHARED, else ../shared.
inline std::filesystem::path shared_root() {
  char const* const from_environment = std::getenv("DASHI_SHARED");
  return from_environment != nullptr ? from_environment : DASHI_TEST_SHARED;
}

/// Path below the shared folder; skips the running test when it is not there.
inline std::filesystem::path shared_data(std::filesystem::path const& below) {
  auto path = shared_root() / below;
  if (!std::filesystem::exists(path)) {
    SKIP("no " + path.string() + "; set DASHI_SHARED to the folder that holds " + below.string());
  }
  return path;
}

}  // namespace dashi::test
