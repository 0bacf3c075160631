// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <string>
#include <vector>

namespace cli {

/// How a command ended and what it said.
struct CommandResult {
  int start_error = 0;     ///< errno when it could not be started; then nothing else is set
  int status = 0;          ///< as waitpid() gives it
  std::string output;      ///< the beginning of its standard output, a few KiB at most
  std::string last_error;  ///< the last line of its standard error that is not blank, cut if long
};

/// Runs a program (looked up in PATH) with an empty standard input and waits for its end. Its
/// standard error passes through to ours when `show_errors`. A signal that ends this process also
/// ends the command.
CommandResult run_command(std::vector<std::string> words, bool show_errors);

}  // namespace cli
