// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/progress.hpp>

#include <cstdint>
#include <filesystem>
#include <vector>

namespace cli {

/// Writes `count` checkpoints of a small DiT (width 384, 6 blocks, patch 2, the original's names;
/// bf16, 17 M parameters) into `folder`: a base of Normal(0, 0.02) numbers and, in each, a
/// "fine-tuning" of Normal(0, 0.002) of its own. Same seed, same bytes.
std::vector<std::filesystem::path> make_members(std::filesystem::path const& folder, int count,
                                                std::uint64_t seed, int threads,
                                                dashi::io::Progress& progress);

struct FoundMembers {
  std::vector<std::filesystem::path> members;
  std::vector<std::filesystem::path> others;  ///< checkpoints of another form
};

/// The largest set of checkpoints in a folder that agree in names, dtypes and shapes, at least
/// three, sorted; of sets of one size that of the first name. Ledgers do not count.
FoundMembers find_members(std::filesystem::path const& folder);

}  // namespace cli
