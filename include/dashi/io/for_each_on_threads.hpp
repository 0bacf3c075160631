// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/run_team.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>

namespace dashi::io {

/// Threads that the machine runs at a time, at least 1.
inline std::size_t machine_threads() noexcept {
  return std::max<std::size_t>(1, std::thread::hardware_concurrency());
}

/// Calls body(i) once for every i below `count`, on up to `threads` threads (the caller's is one),
/// in no particular order. When calls throw, indices after the first one that did are left out, and
/// the exception of the lowest index that threw is thrown here: it does not vary.
template <class Body>
void for_each_on_threads(std::size_t count, std::size_t threads, Body const& body) {
  std::atomic<std::size_t> next{0};
  std::atomic<std::size_t> failed{count};
  std::exception_ptr error;
  std::mutex error_mutex;
  auto const work = [&]() noexcept {
    for (std::size_t i = next++; i < failed; i = next++) {
      try {
        body(i);
      } catch (...) {
        std::lock_guard const lock(error_mutex);
        if (i < failed) {
          failed = i;
          error = std::current_exception();
        }
      }
    }
  };
  run_team(std::min(threads, count), work);
  if (error) {
    std::rethrow_exception(error);
  }
}

}  // namespace dashi::io
