// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/merging/ledger_file.hpp>
#include <dashi/merging/manifest.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace dashi::merging {

/// Elements [first, first + count) of a tensor of a ledger; bytes where it is copied.
struct LedgerSlice {
  std::size_t tensor = 0;
  std::uint64_t first = 0;
  std::size_t count = 0;
};

/// An accumulating ledger cut into what a worker does at a time.
inline std::vector<LedgerSlice> ledger_slices(LedgerFile const& ledger) {
  constexpr std::uint64_t most = std::uint64_t{1} << 16;
  std::vector<LedgerSlice> slices;
  for (std::size_t t = 0; t < ledger.manifest().tensors.size(); ++t) {
    std::uint64_t const count = ledger.layout().kinds()[t] == WordKind::copied
                                    ? ledger.layout().find(LedgerPart::copy, t)->bytes()
                                    : ledger.manifest().tensors[t].elements();
    for (std::uint64_t first = 0; first < count; first += most) {
      slices.push_back({t, first, static_cast<std::size_t>(std::min(most, count - first))});
    }
  }
  return slices;
}

}  // namespace dashi::merging
