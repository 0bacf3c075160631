// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <atomic>
#include <cstdint>

namespace dashi::io {

/// Receives how far a long operation has come. Every member may be called from any thread at any
/// time and must not throw; what is drawn, and how often, is the receiver's business.
class Progress {
public:
  Progress() = default;
  Progress(Progress const&) = delete;
  Progress& operator=(Progress const&) = delete;
  virtual ~Progress() = default;

  /// A pass over `total` bytes begins; may be called again for the next pass.
  virtual void start(std::uint64_t total) noexcept = 0;
  /// `bytes` more are done since the last call.
  virtual void advance(std::uint64_t bytes) noexcept = 0;
};

/// Ignores everything.
class NoProgress final : public Progress {
public:
  void start(std::uint64_t) noexcept override {}
  void advance(std::uint64_t) noexcept override {}
};

/// The default argument wherever progress is optional.
inline Progress& no_progress() noexcept {
  static NoProgress instance;
  return instance;
}

/// Two counters that another thread may poll, for a display or a test.
class ProgressCounter final : public Progress {
public:
  void start(std::uint64_t total) noexcept override {
    done_.store(0, std::memory_order_relaxed);
    total_.store(total, std::memory_order_relaxed);
  }
  void advance(std::uint64_t bytes) noexcept override {
    done_.fetch_add(bytes, std::memory_order_relaxed);
  }
  std::uint64_t total() const noexcept { return total_.load(std::memory_order_relaxed); }
  std::uint64_t done() const noexcept { return done_.load(std::memory_order_relaxed); }

private:
  std::atomic<std::uint64_t> total_{0};
  std::atomic<std::uint64_t> done_{0};
};

}  // namespace dashi::io
