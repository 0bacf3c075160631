// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/merging/chunk_pool.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dashi::checkpoints {

/// How a checkpoint is streamed.
struct StreamOptions {
  int workers = 0;                                       ///< threads; 0: one for each processor
  std::uint64_t memory_budget = std::uint64_t{1} << 30;  ///< bytes for buffers
};

/// Buffers of one worker never take more.
inline constexpr std::uint64_t worker_bytes = std::uint64_t{2} << 20;

/// Workers that the budget has room for. UsageError when it has none for one.
inline int workers_within(StreamOptions const& options) {
  std::uint64_t const room = options.memory_budget / worker_bytes;
  if (room == 0) {
    throw UsageError(
        {.code = "memory-budget",
         .file = {},
         .place = {},
         .found = "a memory budget of " + std::to_string(options.memory_budget) + " bytes",
         .expected = "at least " + std::to_string(worker_bytes),
         .advice = "give a larger --mem"});
  }
  auto const wanted = static_cast<std::uint64_t>(merging::worker_count(options.workers));
  return static_cast<int>(std::min(room, wanted));
}

/// Units [first, first + count) of the `tensor`-th tensor; what a unit is, the user says.
struct Piece {
  std::size_t tensor = 0;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

/// Appends the pieces of a tensor of `units`, each of at most `most`; none for an empty tensor.
inline void append_pieces(std::vector<Piece>& pieces, std::size_t tensor, std::uint64_t units,
                          std::uint64_t most) {
  for (std::uint64_t first = 0; first < units; first += most) {
    pieces.push_back({tensor, first, std::min(most, units - first)});
  }
}

}  // namespace dashi::checkpoints
