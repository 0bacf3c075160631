// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

namespace dashi::io {

/// Exists while a commit is between two states: names are being exchanged, and what they were
/// before is hidden. A program that ends on a signal calls close() first, so that it does not stop
/// half way.
class CommitSection {
public:
  CommitSection() noexcept {
    int open = count_;
    while (open < 0 || !count_.compare_exchange_weak(open, open + 1)) {
      if (open < 0) {
        std::this_thread::sleep_for(pause);
        open = count_;
      }
    }
  }
  CommitSection(CommitSection const&) = delete;
  CommitSection& operator=(CommitSection const&) = delete;
  ~CommitSection() { --count_; }

  /// Waits until no section exists; from then on none begins: who tries waits for the end of the
  /// process. False, and nothing is closed, when one still exists after `most`. Thread-safe.
  static bool close(std::chrono::milliseconds most) noexcept {
    auto const end = std::chrono::steady_clock::now() + most;
    for (;;) {
      int none = 0;
      if (count_.compare_exchange_strong(none, -1)) {
        return true;
      }
      if (none < 0 || std::chrono::steady_clock::now() >= end) {
        return none < 0;
      }
      std::this_thread::sleep_for(pause);
    }
  }

  /// Takes close() back; for tests.
  static void reopen() noexcept {
    int closed = -1;
    count_.compare_exchange_strong(closed, 0);
  }

private:
  static constexpr std::chrono::milliseconds pause{2};
  static inline std::atomic<int> count_{0};  ///< sections; -1: closed
};

}  // namespace dashi::io
