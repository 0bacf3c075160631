// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/merging/chunk_pool.hpp>
#include <dashi/merging/ledger_file.hpp>
#include <dashi/merging/ledger_options.hpp>
#include <dashi/merging/ledger_slices.hpp>
#include <dashi/merging/manifest.hpp>
#include <dashi/merging/sum_chunk.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace dashi::merging {

/// Reads every sum and list of an accumulating ledger; FormatError when one is not as a ledger
/// holds it.
inline void check_sums(LedgerFile const& ledger, LedgerOptions const& options) {
  std::vector<LedgerSlice> slices = ledger_slices(ledger);
  std::erase_if(slices, [&](LedgerSlice const& slice) {
    return ledger.layout().kinds()[slice.tensor] == WordKind::copied;
  });
  std::mutex mutex;
  std::vector<SparseCounts> loaded(ledger.manifest().tensors.size());
  int const team = ledger_workers(options.workers, options.memory_budget);
  run_chunks(slices.size(), team, [&](int, std::uint64_t at) {
    LedgerSlice const& slice = slices[static_cast<std::size_t>(at)];
    Context<Kokkos::Serial> context(Kokkos::Serial(Kokkos::NewInstance{}));
    SumChunk chunk(context);
    SparseCounts const counts = ledger.load(slice.tensor, slice.first, slice.count, chunk);
    std::scoped_lock const lock(mutex);
    loaded[slice.tensor].spilled += counts.spilled;
    loaded[slice.tensor].zeros += counts.zeros;
  });
  for (std::size_t t = 0; t < loaded.size(); ++t) {
    ledger.expect_all_loaded(t, loaded[t]);
  }
}

}  // namespace dashi::merging
