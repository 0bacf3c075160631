// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>

#include <filesystem>
#include <string>
#include <utility>

namespace dashi::io::detail {

/// Bad data in an adapter's file (exit status 65).
[[noreturn]] inline void refuse_adapter(char const* code, std::filesystem::path const& file,
                                        std::string place, std::string found, std::string expected,
                                        std::string advice = {}) {
  throw FormatError({.code = code,
                     .file = file.string(),
                     .place = std::move(place),
                     .found = std::move(found),
                     .expected = std::move(expected),
                     .advice = std::move(advice)});
}

}  // namespace dashi::io::detail
