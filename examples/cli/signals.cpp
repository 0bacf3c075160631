// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "signals.hpp"

#include <dashi/io/commit_section.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace cli {

namespace {

/// A commit only renames and syncs directories; one that takes longer hangs.
constexpr std::chrono::seconds longest_commit{30};
/// A program that takes longer to load hangs as well.
constexpr std::chrono::seconds longest_start{10};

std::mutex mutex;
std::set<std::filesystem::path> directories;  // guarded by mutex
std::filesystem::path folder_of_candidates;   // guarded by mutex
std::timed_mutex start_of_child;  // held from before a child is there until running_child names it
std::atomic<pid_t> running_child{0};
std::atomic<bool> ending{false};
std::atomic<bool> first_asks{false};
std::atomic<bool> asked{false};

sigset_t ending_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGINT);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGHUP);
  if (first_asks) {
    ::sigaddset(&set, SIGUSR1);
  }
  return set;
}

using Inode = std::pair<dev_t, ino_t>;

std::set<Inode> open_files() {
  std::set<Inode> out;
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end;
       at.increment(error)) {
    struct stat s {};
    if (::stat(at->path().c_str(), &s) == 0 && S_ISREG(s.st_mode)) {
      out.emplace(s.st_dev, s.st_ino);
    }
  }
  return out;
}

/// Only names of dashi's temporary files, and of those only files that this process has open.
void remove_own_temporaries(std::filesystem::path const& directory, std::set<Inode> const& own) {
  std::error_code error;
  for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end;
       at.increment(error)) {
    std::string const name = at->path().filename().string();
    struct stat s {};
    if (name.front() == '.' && name.ends_with(".tmp") && name.find(".dashi-") != name.npos &&
        ::lstat(at->path().c_str(), &s) == 0 && own.contains({s.st_dev, s.st_ino})) {
      ::unlink(at->path().c_str());
    }
  }
}

/// Whether the process goes on for now.
bool only_asks(int signal) {
  return first_asks && signal != SIGHUP && (!asked.exchange(true) || signal == SIGUSR1);
}

void wait_for_signal() {
  sigset_t const set = ending_signals();
  int signal = 0;
  do {
    if (::sigwait(&set, &signal) != 0) {
      return;
    }
  } while (only_asks(signal));
  {
    ending = true;
    {
      std::unique_lock const lock(start_of_child, longest_start);
      if (pid_t const child = running_child; child > 0) {
        ::kill(child, SIGTERM);
      }
    }
    // Files that are being replaced have their old or new names back before the process ends.
    dashi::io::CommitSection::close(longest_commit);
    std::scoped_lock const lock(mutex);
    std::set<Inode> const own = open_files();
    for (std::filesystem::path const& directory : directories) {
      remove_own_temporaries(directory, own);
    }
    if (!folder_of_candidates.empty()) {
      std::error_code ignored;
      std::filesystem::remove_all(folder_of_candidates, ignored);
    }
  }
  ::signal(signal, SIG_DFL);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  ::raise(signal);
}

void wait_if_ending() noexcept {
  while (ending) {
    ::pause();
  }
}

}  // namespace

void prepare_process() {
  for (int descriptor = 0; descriptor <= 2; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) < 0) {
      [[maybe_unused]] int const opened =
          ::open("/dev/null", descriptor == 0 ? O_RDONLY : O_WRONLY);
    }
  }
  struct rlimit files {};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
}

void clean_up_after_signal(std::filesystem::path const& output) {
  std::scoped_lock const lock(mutex);
  bool const first = directories.empty();
  directories.insert(output.has_parent_path() ? output.parent_path() : ".");
  if (!first) {
    return;
  }
  // Blocked here and so in every thread that starts later; a thread of its own waits for them and
  // may do what a handler may not. A signal that the caller ignores (nohup) stays ignored.
  sigset_t const all = ending_signals();
  sigset_t wanted;
  ::sigemptyset(&wanted);
  for (int const signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    if (::sigismember(&all, signal) == 0) {
      continue;
    }
    struct sigaction action {};
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) {
      ::sigaddset(&wanted, signal);
    }
  }
  ::pthread_sigmask(SIG_BLOCK, &wanted, nullptr);
  try {
    std::thread(wait_for_signal).detach();
  } catch (std::system_error const&) {
    ::pthread_sigmask(SIG_UNBLOCK, &all, nullptr);  // then signals end the process at once
  }
}

void stop_at_first_signal() noexcept { first_asks = true; }

bool stop_asked() noexcept { return asked; }

void remove_folder_after_signal(std::filesystem::path const& folder) {
  std::scoped_lock const lock(mutex);
  folder_of_candidates = folder;
}

pid_t start_child(std::function<pid_t()> const& spawn) {
  {
    std::scoped_lock const lock(start_of_child);
    if (!ending) {
      return running_child = spawn();
    }
  }
  wait_if_ending();
  return 0;
}

void child_has_ended() noexcept {
  running_child = 0;
  wait_if_ending();
}

void end_like_child(int signal) noexcept {
  ::kill(::getpid(), signal);
  constexpr int most_waits = 100;
  for (int i = 0; i < most_waits && !ending; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  wait_if_ending();
}

}  // namespace cli
