// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "run_command.hpp"

#include "session.hpp"
#include "signals.hpp"

#include <dashi/io/file_descriptor.hpp>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

extern char** environ;

namespace cli {

namespace {

using dashi::io::FileDescriptor;

class SpawnAttributes {
public:
  SpawnAttributes(int output, int errors) {
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
    ::posix_spawn_file_actions_adddup2(&actions_, errors, STDERR_FILENO);
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

struct Pipe {
  FileDescriptor reader;
  FileDescriptor writer;

  int open() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
      return errno;
    }
    reader = FileDescriptor(ends[0]);
    writer = FileDescriptor(ends[1]);
    return 0;
  }
};

/// Keeps the last line that is not blank of a text that comes in parts.
class LastLine {
public:
  void add(std::string_view part) {
    constexpr std::size_t most = 1024;
    for (char const c : part) {
      if (c == '\n' || c == '\r') {
        end_line();
      } else if (line_.size() < most) {
        line_ += c;
      }
    }
  }
  std::string take() {
    end_line();
    return std::move(last_);
  }

private:
  void end_line() {
    if (std::size_t const first = line_.find_first_not_of(" \t"); first != std::string::npos) {
      last_ = line_.substr(first, line_.find_last_not_of(" \t") - first + 1);
    }
    line_.clear();
  }

  std::string line_;
  std::string last_;
};

/// Reads once; false at the end of the stream.
template <class Take>
bool read_some(int descriptor, Take take) {
  std::array<char, 4096> buffer{};
  ssize_t const got = ::read(descriptor, buffer.data(), buffer.size());
  if (got > 0) {
    take(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
  }
  return got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN));
}

/// Reads both streams until the command has ended. Whoever the command leaves behind may hold its
/// standard error open: that is not waited for.
void wait_for(pid_t child, int output, int errors, bool show_errors, CommandResult& result) {
  constexpr std::size_t most_output = 4096;
  constexpr int poll_ms = 20;
  constexpr int last_reads = 32;  // what a pipe holds, twice
  LastLine last;
  bool line_open = false;
  auto const take_errors = [&](std::string_view part) {
    last.add(part);
    line_open = part.back() != '\n';
    if (show_errors) {
      write_all(STDERR_FILENO, std::string(part));
    }
  };
  ::fcntl(errors, F_SETFL, O_NONBLOCK);
  std::array<pollfd, 2> streams{{{output, POLLIN, 0}, {errors, POLLIN, 0}}};
  bool ended = false;
  while (streams[0].fd >= 0 || (streams[1].fd >= 0 && !ended)) {
    if (streams[0].fd < 0) {
      ended = ::waitpid(child, &result.status, WNOHANG) == child;
    }
    ::poll(streams.data(), streams.size(), streams[0].fd < 0 ? (ended ? 0 : poll_ms) : -1);
    if (streams[0].revents != 0 && !read_some(output, [&](std::string_view part) {
          result.output += result.output.size() <= most_output ? part : "";
        })) {
      streams[0].fd = -1;
    }
    if (streams[1].revents != 0 && !read_some(errors, take_errors)) {
      streams[1].fd = -1;
    }
  }
  if (!ended) {
    dashi::io::retry_interrupted([&] { return ::waitpid(child, &result.status, 0); });
  }
  for (int i = 0; i < last_reads && streams[1].fd >= 0; ++i) {
    bool some = false;
    read_some(errors, [&](std::string_view part) {
      take_errors(part);
      some = true;
    });
    if (!some) {
      break;
    }
  }
  if (show_errors && line_open) {
    write_all(STDERR_FILENO, "\n");  // what we say next is a line of its own
  }
  result.last_error = last.take();
}

}  // namespace

CommandResult run_command(std::vector<std::string> words, bool show_errors) {
  std::vector<char*> arguments;
  for (std::string& word : words) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  CommandResult result;
  Pipe output;
  Pipe errors;
  for (Pipe* const pipe : {&output, &errors}) {
    if (result.start_error == 0) {
      result.start_error = pipe->open();
    }
  }
  pid_t child = 0;
  if (result.start_error == 0) {
    SpawnAttributes const attributes(output.writer.get(), errors.writer.get());
    child = start_child([&] {
      pid_t started = 0;
      result.start_error = attributes.spawn(started, arguments.data());
      return result.start_error == 0 ? started : 0;
    });
  }
  if (result.start_error != 0) {
    return result;
  }
  output.writer = FileDescriptor();
  errors.writer = FileDescriptor();
  wait_for(child, output.reader.get(), errors.reader.get(), show_errors, result);
  child_has_ended();
  return result;
}

}  // namespace cli
