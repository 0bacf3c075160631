// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/read_options.hpp>
#include <dashi/merging/chunk_pool.hpp>

#include <algorithm>
#include <cstdint>

namespace dashi::merging {

/// How the operations of a soup run.
struct LedgerOptions {
  int workers = 0;                                       ///< threads; 0: one for each processor
  std::uint64_t memory_budget = std::uint64_t{1} << 30;  ///< bytes for buffers
  bool allow_duplicate = false;  ///< accept a member whose content is already in the soup
  bool force = false;            ///< create() may replace an existing file
  io::ReadOptions read{};
};

/// Bytes of buffers that a worker of a pass over a ledger needs, about.
inline constexpr std::uint64_t ledger_worker_bytes = std::uint64_t{2} << 20;

/// Threads of such a pass: as many as asked for, but no more than fit the budget; at least one.
inline int ledger_workers(int workers, std::uint64_t memory_budget) {
  std::uint64_t const fit = std::max<std::uint64_t>(1, memory_budget / ledger_worker_bytes);
  return static_cast<int>(
      std::min<std::uint64_t>(fit, static_cast<std::uint64_t>(worker_count(workers))));
}

}  // namespace dashi::merging
