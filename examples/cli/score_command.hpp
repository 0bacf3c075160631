// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace cli {

/// A command whose standard output is the score of a checkpoint, for greedy soups.
///
/// The text is split into words as a shell splits them ('...', "...", backslash); no shell runs and
/// nothing else is expanded. `{}` in a word stands for the checkpoint's path. UsageError for an
/// open quote, no words, or no `{}`.
class ScoreCommand {
public:
  /// `show_errors`: what the command writes to its standard error passes through to ours.
  ScoreCommand(std::string const& text, bool show_errors);

  /// Runs the command and waits. Throws Error (exit status 70) when it cannot be started, fails, is
  /// killed, or prints anything but one finite number; it says the last line of the command's
  /// standard error.
  double operator()(std::filesystem::path const& checkpoint) const;

private:
  std::string text_;
  std::vector<std::string> words_;
  bool show_errors_;
};

}  // namespace cli
