// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace cli {

/// What a usual way of averaging gives, against the exact mean: how many stored numbers differ, and
/// by how many places of the output dtype.
struct FloatMethod {
  std::string name;
  std::string how;
  std::uint64_t differing = 0;
  std::array<std::uint64_t, 5> by_places{};  ///< 1, 2, 3 to 4, 5 to 8, more
};

struct FloatComparison {
  std::uint64_t elements = 0;
  std::vector<FloatMethod> methods;
};

/// Compares three habits with the exact soups of `members` without and with the last one:
/// adding up in the stored dtype, adding up in float32, and removing the last member from the
/// published soup by (n * mean - x) / (n - 1) in float32.
FloatComparison compare_floats(std::span<std::filesystem::path const> members,
                               std::filesystem::path const& without_last,
                               std::filesystem::path const& with_last, int threads);

}  // namespace cli
