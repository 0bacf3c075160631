// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "session.hpp"

#include <string>

namespace cli {

/// Says on one line of stderr what went wrong, as JSON with --json, and gives the exit status. To
/// be called in a catch block; the one place where exceptions become statuses.
int report_current_exception(bool json);

/// A mistake on the command line (exit status 2).
[[noreturn]] void usage_error(std::string code, std::string found, std::string expected = {},
                              std::string advice = {});

}  // namespace cli
