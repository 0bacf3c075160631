// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "session.hpp"

#include <string>

namespace cli {

/// Goes on as the program `name`, which lies beside this one, with the same command line.
///
/// Linear algebra needs libraries that take hundreds of megabytes of address space when they are
/// loaded, and one of them waits for ever where these cannot be had: verbs that do without are in
/// a program without these libraries.
[[noreturn]] void become_program(Session& session, std::string const& name);

}  // namespace cli
