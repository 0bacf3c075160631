// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/read_options.hpp>

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

}  // namespace dashi::merging
