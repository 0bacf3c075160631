// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "score_command.hpp"

#include "failure.hpp"
#include "signals.hpp"

#include <dashi/core/error.hpp>
#include <dashi/io/file_descriptor.hpp>
#include <dashi/io/listing.hpp>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

extern char** environ;

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

[[noreturn]] void fail(std::string const& command, std::filesystem::path const& checkpoint,
                       std::string found) {
  throw dashi::Error({.code = "score-failed",
                      .file = checkpoint.string(),
                      .place = "score command " + dashi::io::in_quotes(command),
                      .found = std::move(found),
                      .expected = "one number on its standard output and exit status 0",
                      .advice = "run the command by hand on a checkpoint"});
}

/// Everything up to the end of the stream, or more than any number needs.
std::string read_output(int descriptor) {
  constexpr std::size_t most = 4096;
  std::string out;
  std::array<char, 4096> buffer{};
  for (;;) {
    ssize_t const got = ::read(descriptor, buffer.data(), buffer.size());
    if (got == 0 || (got < 0 && errno != EINTR)) {
      return out;
    }
    if (got > 0 && out.size() <= most) {
      out.append(buffer.data(), static_cast<std::size_t>(got));
    }
  }
}

class SpawnAttributes {
public:
  explicit SpawnAttributes(int output) {
    ::posix_spawnattr_init(&attributes_);
    ::posix_spawn_file_actions_init(&actions_);
    // What prepare_process() and clean_up_after_signal() changed is not for its children.
    sigset_t none;
    ::sigemptyset(&none);
    sigset_t ordinary = none;
    ::sigaddset(&ordinary, SIGPIPE);
    ::sigaddset(&ordinary, SIGXFSZ);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &ordinary);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions_, output, STDOUT_FILENO);
  }
  SpawnAttributes(SpawnAttributes const&) = delete;
  SpawnAttributes& operator=(SpawnAttributes const&) = delete;
  ~SpawnAttributes() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }

  int spawn(pid_t& child, char* const* arguments) const {
    return ::posix_spawnp(&child, arguments[0], &actions_, &attributes_, arguments, environ);
  }

private:
  posix_spawnattr_t attributes_{};
  posix_spawn_file_actions_t actions_{};
};

}  // namespace

ScoreCommand::ScoreCommand(std::string const& text) : words_(shell_words(text)) {
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
  std::vector<char*> arguments;
  for (std::string& word : words) {
    for (std::size_t at = word.find(placeholder); at != std::string::npos;
         at = word.find(placeholder, at + checkpoint.native().size())) {
      word.replace(at, placeholder.size(), checkpoint.native());
    }
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);

  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) {
    fail(words_.front(), checkpoint, std::string("cannot start: ") + std::strerror(errno));
  }
  dashi::io::FileDescriptor const output(pipe[0]);
  pid_t child = 0;
  int error = 0;
  {
    dashi::io::FileDescriptor const input(pipe[1]);
    error = SpawnAttributes(input.get()).spawn(child, arguments.data());
  }
  if (error != 0) {
    fail(words_.front(), checkpoint, std::string("cannot start: ") + std::strerror(error));
  }
  end_with_us(child);
  std::string text = read_output(output.get());
  int status = 0;
  dashi::io::retry_interrupted([&] { return ::waitpid(child, &status, 0); });
  end_with_us(0);
  if (WIFSIGNALED(status)) {
    if (WTERMSIG(status) == SIGINT) {
      end_like_child(SIGINT);
    }
    fail(words_.front(), checkpoint, "ended by signal " + std::to_string(WTERMSIG(status)));
  }
  if (WEXITSTATUS(status) != 0) {
    fail(words_.front(), checkpoint, "exit status " + std::to_string(WEXITSTATUS(status)));
  }
  std::size_t const first = text.find_first_not_of(" \t\r\n");
  std::size_t const last = text.find_last_not_of(" \t\r\n");
  std::string const number = first == std::string::npos ? "" : text.substr(first, last - first + 1);
  bool const plus = number.size() > 1 && number[0] == '+' && number[1] != '-';
  char const* const begin = number.data() + (plus ? 1 : 0);  // from_chars() takes no plus sign
  double score = 0;
  auto const [end, bad] = std::from_chars(begin, number.data() + number.size(), score);
  if (number.empty() || bad != std::errc() || end != number.data() + number.size()) {
    fail(words_.front(), checkpoint, number.empty() ? "nothing" : dashi::io::in_quotes(number));
  }
  return score;
}

}  // namespace cli
