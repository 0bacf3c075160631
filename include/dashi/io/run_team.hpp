// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/leave_bound_place.hpp>

#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

namespace dashi::io {

/// Calls work() on up to `threads` threads at once, the caller's is one of them, and waits for all.
/// work must not throw, and must finish everything even when it runs on the caller's thread alone:
/// the system may have no more threads.
template <class Work>
void run_team(std::size_t threads, Work const& work) {
  std::vector<std::thread> team;
  try {
    while (team.size() + 1 < threads) {
      team.emplace_back([&work] {
        leave_bound_place();
        work();
      });
    }
  } catch (std::exception const&) {
    // No more threads to be had: those that run, and this one, do the work.
  }
  work();
  for (std::thread& thread : team) {
    thread.join();
  }
}

}  // namespace dashi::io
