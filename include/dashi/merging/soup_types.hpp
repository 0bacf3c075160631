// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/merging/decimal_weight.hpp>
#include <dashi/merging/key_map.hpp>
#include <dashi/merging/ledger_verify.hpp>
#include <dashi/merging/mean_options.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace dashi::merging {

/// A checkpoint that enters a soup.
struct SoupAddition {
  std::filesystem::path file;
  DecimalWeight weight{};
  KeyMap keys{};
};

/// What one operation does to a soup; all of it or nothing.
struct SoupChange {
  std::vector<std::string> removals{};  ///< files, beginnings of digests, or recorded names
  std::vector<SoupAddition> additions{};
};

/// What an operation would do; for --dry-run. Known from headers, except that a file under another
/// name than the recorded one is hashed to find out which member it is.
struct SoupPlan {
  std::vector<std::string> leaving;   ///< recorded names
  std::vector<std::string> entering;  ///< names as they will be recorded
  std::uint64_t bytes_to_read = 0;
  std::uint64_t bytes_to_write = 0;  ///< without the sparse lists of an accumulating soup
  std::uint64_t peak_memory = 0;     ///< bytes of buffers
};

/// What verify() found. A damaged ledger or a changed member is an exception instead.
struct SoupVerification {
  std::optional<SoupDifference>
      difference{};  ///< of the published file; nothing when it is the same
  bool equal() const noexcept { return !difference; }
};

}  // namespace dashi::merging
