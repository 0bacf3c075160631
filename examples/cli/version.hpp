// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "session.hpp"

#include <string>

namespace cli {

/// dashi, its backend, the devices found, the libraries it was built with. Kokkos must be running.
void print_version(Session& session);

/// VendorError (69) unless this build can compute there.
void expect_device(std::string const& device);

}  // namespace cli
