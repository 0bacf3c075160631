// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/progress.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace cli {

/// What a bar counts, where it is not bytes: things with a name, such as images, each of which is
/// `steps` of what advance() counts.
struct ProgressUnit {
  std::string name;  ///< empty: bytes
  std::uint64_t steps = 1;
};

/// Draws how far an operation has come, on stderr: a bar with rate and time left on a terminal, one
/// line every ten seconds elsewhere. Nothing is drawn in the first half second, and the destructor
/// takes the bar away. advance() is a relaxed atomic addition.
class ProgressBar final : public dashi::io::Progress {
public:
  explicit ProgressBar(std::string label, ProgressUnit unit = {});
  ~ProgressBar() override;

  void start(std::uint64_t total) noexcept override;
  void advance(std::uint64_t bytes) noexcept override {
    done_.fetch_add(bytes, std::memory_order_relaxed);
  }
  /// More to say behind the numbers, such as a loss.
  void note(std::string text);

private:
  using Clock = std::chrono::steady_clock;

  void run();
  void draw();
  std::string status() const;
  std::string amounts(std::uint64_t done, std::uint64_t total, double rate) const;

  std::string label_;
  ProgressUnit unit_;
  bool terminal_;
  bool colour_;
  std::atomic<std::uint64_t> done_{0};
  std::atomic<std::uint64_t> total_{0};
  std::atomic<Clock::rep> began_{0};
  std::string note_;    // guarded by mutex_
  bool drawn_ = false;  // of the drawing thread only
  bool stop_ = false;   // guarded by mutex_
  std::mutex mutex_;
  std::condition_variable stopped_;
  std::thread thread_;
};

}  // namespace cli
