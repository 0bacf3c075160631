// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>

#include <cstddef>
#include <vector>

namespace dashi {

/// The inner parts of all blocks, which run one after the other, in the memory of the largest.
/// Their adapters may differ; all begin with the same matrices.
template <class Block>
std::vector<typename Block::Inner> over_one_memory(std::vector<Block> const& blocks, Arena& arena,
                                                   Index samples, bool for_backward) {
  std::vector<typename Block::Inner> result;
  std::size_t largest = 0;
  std::size_t most = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    Arena measuring;
    (void)blocks[i].inner(measuring, samples, for_backward);
    if (measuring.peak() > most) {
      largest = i;
      most = measuring.peak();
    }
    Frame const frame(arena);
    result.push_back(blocks[i].inner(arena, samples, for_backward));
  }
  if (!blocks.empty()) {
    (void)blocks[largest].inner(arena, samples, for_backward);
  }
  return result;
}

}  // namespace dashi
