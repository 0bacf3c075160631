// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>

#include <string>

namespace dashi::backends::portable {

/// Throws VendorError: a library of a device did not do what `call` asked for.
[[noreturn]] inline void refused(char const* call, std::string const& found) {
  throw VendorError({.code = "vendor-refused",
                     .file = {},
                     .place = call,
                     .found = found,
                     .expected = {},
                     .advice = "check the device's memory and driver"});
}

}  // namespace dashi::backends::portable
