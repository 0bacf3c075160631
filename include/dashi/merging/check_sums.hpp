// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/merging/chunk_pool.hpp>
#include <dashi/merging/ledger_file.hpp>
#include <dashi/merging/ledger_options.hpp>
#include <dashi/merging/sum_chunk.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

namespace dashi::merging {

/// Reads every sum and list of an accumulating ledger; FormatError when one is not as a ledger
/// holds it.
inline void check_sums(LedgerFile const& ledger, LedgerOptions const& options) {
  constexpr std::uint64_t part = std::uint64_t{1} << 16;
  std::vector<std::pair<std::size_t, std::uint64_t>> parts;
  for (std::size_t t = 0; t < ledger.manifest().tensors.size(); ++t) {
    std::uint64_t const count = ledger.layout().kinds()[t] == WordKind::copied
                                    ? 0
                                    : ledger.manifest().tensors[t].elements();
    for (std::uint64_t first = 0; first < count; first += part) {
      parts.emplace_back(t, first);
    }
  }
  std::mutex mutex;
  std::vector<SparseCounts> loaded(ledger.manifest().tensors.size());
  int const team = ledger_workers(options.workers, options.memory_budget);
  run_chunks(parts.size(), team, [&](int, std::uint64_t at) {
    auto const [tensor, first] = parts[static_cast<std::size_t>(at)];
    Context<Kokkos::Serial> context(Kokkos::Serial(Kokkos::NewInstance{}));
    SumChunk chunk(context);
    auto const count = static_cast<std::size_t>(
        std::min(part, ledger.manifest().tensors[tensor].elements() - first));
    SparseCounts const counts = ledger.load(tensor, first, count, chunk);
    std::scoped_lock const lock(mutex);
    loaded[tensor].spilled += counts.spilled;
    loaded[tensor].zeros += counts.zeros;
  });
  for (std::size_t t = 0; t < loaded.size(); ++t) {
    ledger.expect_all_loaded(t, loaded[t]);
  }
}

}  // namespace dashi::merging
