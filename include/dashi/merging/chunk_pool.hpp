// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/io/run_team.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace dashi::merging {

/// 0 means one for each processor.
inline int worker_count(int workers) {
  return workers > 0 ? workers
                     : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

/// Calls work(worker, chunk) once for every chunk in [0, count) on at most `workers` threads and
/// returns when all are done. Blocks; the calling thread is one of the workers.
///
/// Chunks are claimed in increasing order, and a claimed chunk is always run to its end. So a chunk
/// may wait for one with a smaller number without deadlock. After a chunk throws, no further one is
/// claimed, and the exception of the smallest chunk that threw is rethrown after all threads are
/// joined: since every smaller chunk was run, the exception does not depend on the thread count.
template <class Work>
void run_chunks(std::uint64_t count, int workers, Work&& work) {
  DASHI_EXPECTS(workers >= 1, "run_chunks needs a worker, got " + std::to_string(workers));
  std::mutex mutex;
  std::uint64_t next = 0;
  std::uint64_t failed = count;  // smallest chunk that threw
  std::exception_ptr error;

  auto const claim = [&]() -> std::uint64_t {
    std::scoped_lock const lock(mutex);
    return error || next == count ? count : next++;
  };
  auto const loop = [&](int worker) noexcept {
    for (std::uint64_t chunk = claim(); chunk < count; chunk = claim()) {
      try {
        work(worker, chunk);
      } catch (...) {
        std::scoped_lock const lock(mutex);
        if (chunk < failed) {
          failed = chunk;
          error = std::current_exception();
        }
      }
    }
  };

  std::atomic<int> started{0};
  io::run_team(
      static_cast<std::size_t>(std::min<std::uint64_t>(count, static_cast<std::uint64_t>(workers))),
      [&]() noexcept { loop(started++); });
  if (error) {
    std::rethrow_exception(error);
  }
}

}  // namespace dashi::merging
