// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/merging/ledger_layout.hpp>
#include <dashi/merging/ledger_options.hpp>
#include <dashi/merging/manifest.hpp>
#include <dashi/merging/sparse_spool.hpp>
#include <dashi/merging/sum_chunk.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>
#include <vector>

namespace dashi::merging {

/// Writes the sums and copies of an accumulating ledger while a pass makes them, and its header and
/// sparse lists at the end. A tensor belongs to one thread; different ones are written side by
/// side. Nothing appears under the ledger's name before commit().
class LedgerWriter {
public:
  static constexpr std::size_t spool_bytes = std::size_t{16} << 20;

  /// Bytes of sparse lists that are kept in memory.
  static std::size_t spool_limit(LedgerOptions const& options) {
    return static_cast<std::size_t>(
        std::min<std::uint64_t>(spool_bytes, options.memory_budget / 8));
  }

  /// `after`: the ledger that will be, as far as it is known; the digests do not matter yet.
  LedgerWriter(std::filesystem::path const& path, io::OutputOptions output, Manifest const& after,
               LedgerOptions const& options)
      : counts_(after.tensors.size()),
        layout_(after, counts_),
        output_(path, std::move(output), layout_.dense_end()),
        spool_(path, 4 * counts_.size(), spool_limit(options)) {}

  LedgerLayout const& layout() const noexcept { return layout_; }

  /// The sums of elements [first, first + chunk.size()) of tensor t; parts in order.
  void store(SumChunk& chunk, std::size_t t, std::uint64_t first) {
    if (chunk.kind() == WordKind::int64) {
      output_.write_at(layout_.offset(LedgerPart::sum, t) + first * 8,
                       std::as_bytes(std::span(chunk.sums())));
    } else {
      output_.write_at(layout_.offset(LedgerPart::high, t) + first * 8,
                       std::as_bytes(std::span(chunk.high())));
      output_.write_at(layout_.offset(LedgerPart::low, t) + first * 8,
                       std::as_bytes(std::span(chunk.low())));
    }
    std::vector<std::uint64_t> index;
    std::vector<std::uint64_t> value;
    auto const flush = [&](std::size_t list) {
      spool_.append(4 * t + list, std::as_bytes(std::span(index)));
      spool_.append(4 * t + list + 1, std::as_bytes(std::span(value)));
      index.clear();
      value.clear();
    };
    for (auto const& [element, sum] : chunk.wide()) {
      index.push_back(first + element);
      value.insert(value.end(), sum.value().limb, sum.value().limb + kernels::WideSum::words);
    }
    counts_[t].spilled += index.size();
    flush(0);
    for (std::size_t i = 0; i < chunk.zeros().size(); ++i) {
      if (chunk.zeros()[i] != 0) {
        index.push_back(first + i);
        value.push_back(chunk.zeros()[i]);
      }
    }
    counts_[t].zeros += index.size();
    flush(2);
  }

  /// Bytes of a copied tensor from `offset` on.
  void store_copy(std::size_t t, std::uint64_t offset, std::span<std::byte const> bytes) {
    output_.write_at(layout_.offset(LedgerPart::copy, t) + offset, bytes);
  }

  /// `after`: the manifest with its digests. `check` is the last word before the ledger appears.
  template <class Check>
  void commit(Manifest const& after, Check&& check) {
    LedgerLayout const final(after, counts_);
    DASHI_EXPECTS(final.dense_end() == layout_.dense_end(), "digests do not move the data");
    output_.grow(final.file_size());
    constexpr LedgerPart parts[4] = {LedgerPart::spill_index, LedgerPart::spill_value,
                                     LedgerPart::zero_index, LedgerPart::zero_count};
    for (std::size_t t = 0; t < counts_.size(); ++t) {
      for (std::size_t p = 0; p < 4; ++p) {
        if (final.find(parts[p], t) != nullptr) {
          spool_.write_to(output_, 4 * t + p, final.offset(parts[p], t));
        }
      }
    }
    output_.write_at(0, final.header());
    check();
    output_.commit(final.header());
  }

private:
  std::vector<SparseCounts> counts_;
  LedgerLayout layout_;
  io::OutputFile output_;
  SparseSpool spool_;
};

}  // namespace dashi::merging
