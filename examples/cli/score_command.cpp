// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "score_command.hpp"

#include "failure.hpp"
#include "run_command.hpp"
#include "signals.hpp"

#include <dashi/core/error.hpp>
#include <dashi/io/listing.hpp>

#include <signal.h>
#include <sys/wait.h>

#include <charconv>
#include <cmath>
#include <cstring>
#include <string_view>
#include <utility>

namespace cli {

namespace {

constexpr std::string_view placeholder = "{}";
constexpr std::string_view blanks = " \t\n";

std::vector<std::string> shell_words(std::string const& text) {
  std::vector<std::string> words;
  std::string word;
  bool begun = false;
  char quote = '\0';
  for (std::size_t i = 0; i < text.size(); ++i) {
    char const c = text[i];
    bool const last = i + 1 == text.size();
    if (quote == '\'') {
      if (c == '\'') {
        quote = '\0';
      } else {
        word += c;
      }
    } else if (c == '\\' && last) {
      usage_error("bad-score-command", "--score ends with a backslash", "a command");
    } else if (c == '\\' && (quote == '\0' || std::strchr("\"\\$`", text[i + 1]) != nullptr)) {
      word += text[++i];
      begun = true;
    } else if (quote == '"') {
      if (c == '"') {
        quote = '\0';
      } else {
        word += c;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      begun = true;
    } else if (blanks.find(c) != std::string_view::npos) {
      if (begun) {
        words.push_back(std::move(word));
      }
      word.clear();
      begun = false;
    } else {
      word += c;
      begun = true;
    }
  }
  if (quote != '\0') {
    usage_error("bad-score-command", std::string("--score has an open quote ") + quote,
                "its other half");
  }
  if (begun) {
    words.push_back(std::move(word));
  }
  return words;
}

}  // namespace

ScoreCommand::ScoreCommand(std::string const& text, bool show_errors)
    : text_(text), words_(shell_words(text)), show_errors_(show_errors) {
  bool named = false;
  for (std::string const& word : words_) {
    named = named || word.find(placeholder) != std::string::npos;
  }
  if (words_.empty() || !named) {
    usage_error("bad-score-command", "--score " + dashi::io::in_quotes(text),
                "a command with {} where the checkpoint's path goes");
  }
}

double ScoreCommand::operator()(std::filesystem::path const& checkpoint) const {
  std::vector<std::string> words = words_;
  for (std::string& word : words) {
    for (std::size_t at = word.find(placeholder); at != std::string::npos;
         at = word.find(placeholder, at + checkpoint.native().size())) {
      word.replace(at, placeholder.size(), checkpoint.native());
    }
  }
  CommandResult const result = run_command(std::move(words), show_errors_);
  auto const fail = [&](std::string found) {
    if (!result.last_error.empty()) {
      found += " after " + dashi::io::in_quotes(result.last_error) + " on its standard error";
    }
    throw dashi::Error({.code = "score-failed",
                        .file = checkpoint.string(),
                        .place = "score command '" + text_ + "'",
                        .found = std::move(found),
                        .expected = "one finite number on its standard output and exit status 0",
                        .advice = "run the command by hand on a checkpoint"});
  };
  if (result.start_error != 0) {
    fail(std::string("cannot start: ") + std::strerror(result.start_error));
  }
  if (WIFSIGNALED(result.status)) {
    if (WTERMSIG(result.status) == SIGINT) {
      end_like_child(SIGINT);
    }
    fail("ended by signal " + std::to_string(WTERMSIG(result.status)));
  }
  if (WEXITSTATUS(result.status) != 0) {
    fail("exit status " + std::to_string(WEXITSTATUS(result.status)));
  }
  std::size_t const first = result.output.find_first_not_of(" \t\r\n");
  std::size_t const last = result.output.find_last_not_of(" \t\r\n");
  std::string const number =
      first == std::string::npos ? "" : result.output.substr(first, last - first + 1);
  bool const plus = number.size() > 1 && number[0] == '+' && number[1] != '-';
  char const* const begin = number.data() + (plus ? 1 : 0);  // from_chars() takes no plus sign
  double score = 0;
  auto const [end, bad] = std::from_chars(begin, number.data() + number.size(), score);
  bool const whole = bad == std::errc() && end == number.data() + number.size();
  if (number.empty() || !whole || !std::isfinite(score)) {
    fail(number.empty() ? "nothing" : dashi::io::in_quotes(number));
  }
  return score;
}

}  // namespace cli
