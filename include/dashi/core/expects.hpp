// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>

namespace dashi::detail {

[[noreturn]] inline void precondition_failed(char const* condition, char const* file, int line,
                                             std::string message) {
  throw PreconditionError({.code = "precondition",
                           .file = {},
                           .place = std::string(file) + ":" + std::to_string(line),
                           .found = std::move(message) + " (" + condition + " is false)",
                           .expected = {},
                           .advice = {}});
}

}  // namespace dashi::detail

/// Host-side precondition of a public function: throws PreconditionError naming condition and
/// place.
#define DASHI_EXPECTS(condition, message)                                              \
  do {                                                                                 \
    if (!(condition)) {                                                                \
      ::dashi::detail::precondition_failed(#condition, __FILE__, __LINE__, (message)); \
    }                                                                                  \
  } while (false)
