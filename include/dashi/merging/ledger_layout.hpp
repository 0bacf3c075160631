// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/json_text.hpp>
#include <dashi/io/read_options.hpp>
#include <dashi/io/sha256.hpp>
#include <dashi/io/tensor_info.hpp>
#include <dashi/kernels/wide_sum.hpp>
#include <dashi/merging/manifest.hpp>
#include <dashi/merging/manifest_text.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::merging {

/// The tensors of a ledger that belong to one tensor NAME of the soup; each is called PREFIX:NAME.
enum class LedgerPart : std::uint8_t {
  sum,          ///< I64, shape of the tensor: Σ w x, units of 2^-24
  high,         ///< I64, shape of the tensor: upper words of window sums, units of 2^-79
  low,          ///< U64, shape of the tensor: their lower words
  copy,         ///< dtype and bytes of a tensor that is not averaged
  spill_index,  ///< U64 [n]: elements whose sum is not in the window, increasing
  spill_value,  ///< U64 [n, 5]: their sums, units of 2^-149, two's complement, low word first
  zero_index,   ///< U64 [m]: elements with terms that are -0, increasing
  zero_count,   ///< U64 [m]: how many members of non-zero weight give -0 there
};
inline constexpr std::size_t ledger_parts = 8;

constexpr std::string_view prefix(LedgerPart part) noexcept {
  constexpr std::array<std::string_view, ledger_parts> names{
      "sum", "high", "low", "copy", "spill.index", "spill.value", "zero.index", "zero.count"};
  return names[static_cast<std::size_t>(part)];
}

/// Entries of the sparse lists of one tensor.
struct SparseCounts {
  std::uint64_t spilled = 0;
  std::uint64_t zeros = 0;
};

/// Header and tensor places of a ledger file: a function of its manifest and of how long its sparse
/// lists are. The data begin where they would begin if all lists were as long as can be, so that
/// they can be written before the lists are known. Order: sums by tensor, copies by tensor, lists
/// by tensor.
class LedgerLayout {
public:
  static constexpr std::string_view metadata_key = "dashi.ledger";
  /// SHA-256 of the manifest's text: a flipped bit in a digest or a weight must not pass.
  static constexpr std::string_view checksum_key = "dashi.ledger.sha256";

  /// `counts`: one a tensor. The manifest is canonical but for digests not yet known.
  LedgerLayout(Manifest const& manifest, std::span<SparseCounts const> counts) {
    LedgerScale const scale =
        manifest.mode == LedgerMode::accumulate ? ledger_scale(manifest) : LedgerScale{};
    for (std::size_t t = 0; t < manifest.tensors.size(); ++t) {
      kinds_.push_back(word_kind(manifest, scale, t));
    }
    std::vector<SparseCounts> most;
    for (std::size_t t = 0; t < manifest.tensors.size(); ++t) {
      std::uint64_t const n = kinds_[t] == WordKind::copied ? 0 : manifest.tensors[t].elements();
      most.push_back({kinds_[t] == WordKind::window ? n : 0, n});
    }
    place(manifest, most);
    constexpr std::uint64_t alignment = 4096;
    std::string const manifest_json = manifest_text(manifest);
    std::string text = "{\"__metadata__\":{\"" + std::string(metadata_key) + "\":";
    io::append_quoted(text, manifest_json);
    text += ",\"" + std::string(checksum_key) + "\":\"" +
            io::hex(io::sha256(std::as_bytes(std::span(manifest_json)))) + "\"}";
    std::uint64_t const begin =
        (8 + text.size() + entries().size() + 1 + alignment - 1) / alignment * alignment;
    if (begin > io::largest_header_bytes) {
      throw UsageError({.code = "header-too-large",
                        .file = {},
                        .place = "ledger",
                        .found = "a header of " + std::to_string(begin) + " bytes",
                        .expected = "at most 100 MB, the format's limit",
                        .advice = "use --mode recompute"});
    }
    place(manifest, counts);
    header_.assign(8, '\0');
    header_ += text + entries() + "}";
    header_.resize(static_cast<std::size_t>(begin), ' ');
    for (std::size_t i = 0; i < 8; ++i) {
      header_[i] = static_cast<char>((begin - 8) >> (8 * i) & 0xffU);
    }
  }

  std::span<std::byte const> header() const noexcept { return std::as_bytes(std::span(header_)); }
  std::uint64_t data_begin() const noexcept { return header_.size(); }
  std::uint64_t file_size() const noexcept {
    return data_begin() + (infos_.empty() ? 0 : infos_.back().end);
  }
  /// End in the file of sums and copies: where the sparse lists begin.
  std::uint64_t dense_end() const noexcept { return data_begin() + dense_end_; }
  std::vector<WordKind> const& kinds() const noexcept { return kinds_; }
  std::vector<io::TensorInfo> const& tensors() const noexcept { return infos_; }

  /// Null when the tensor has no such part.
  io::TensorInfo const* find(LedgerPart part, std::size_t tensor) const {
    std::size_t const at = index_[tensor][static_cast<std::size_t>(part)];
    return at == none ? nullptr : &infos_[at];
  }

  /// First byte in the file of a part that is there.
  std::uint64_t offset(LedgerPart part, std::size_t tensor) const {
    return data_begin() + find(part, tensor)->begin;
  }

private:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  void place(Manifest const& manifest, std::span<SparseCounts const> counts) {
    infos_.clear();
    index_.assign(manifest.tensors.size(), {});
    for (auto& row : index_) {
      row.fill(none);
    }
    std::uint64_t end = 0;
    auto const add = [&](LedgerPart part, std::size_t t, io::Dtype dtype,
                         std::vector<std::uint64_t> shape) {
      std::uint64_t size = static_cast<std::uint64_t>(io::bits(dtype));
      for (std::uint64_t const extent : shape) {
        size *= extent;
      }
      index_[t][static_cast<std::size_t>(part)] = infos_.size();
      infos_.push_back({.name = std::string(prefix(part)) + ":" + manifest.tensors[t].name,
                        .dtype = dtype,
                        .shape = std::move(shape),
                        .begin = end,
                        .end = end + size / 8});
      end = infos_.back().end;
    };
    for (std::size_t t = 0; t < kinds_.size(); ++t) {
      if (kinds_[t] == WordKind::int64) {
        add(LedgerPart::sum, t, io::Dtype::i64, manifest.tensors[t].shape);
      } else if (kinds_[t] == WordKind::window) {
        add(LedgerPart::high, t, io::Dtype::i64, manifest.tensors[t].shape);
        add(LedgerPart::low, t, io::Dtype::u64, manifest.tensors[t].shape);
      }
    }
    for (std::size_t t = 0; t < kinds_.size(); ++t) {
      if (kinds_[t] == WordKind::copied) {
        add(LedgerPart::copy, t, manifest.members.front().dtypes[t], manifest.tensors[t].shape);
      }
    }
    dense_end_ = end;
    for (std::size_t t = 0; t < kinds_.size(); ++t) {
      if (std::uint64_t const n = counts[t].spilled; n > 0) {
        add(LedgerPart::spill_index, t, io::Dtype::u64, {n});
        add(LedgerPart::spill_value, t, io::Dtype::u64, {n, kernels::WideSum::words});
      }
      if (std::uint64_t const n = counts[t].zeros; n > 0) {
        add(LedgerPart::zero_index, t, io::Dtype::u64, {n});
        add(LedgerPart::zero_count, t, io::Dtype::u64, {n});
      }
    }
  }

  std::string entries() const {
    std::string out;
    for (io::TensorInfo const& info : infos_) {
      out += ',';
      io::append_quoted(out, info.name);
      out += ":{\"dtype\":\"" + std::string(io::name(info.dtype)) + "\",\"shape\":[";
      char const* comma = "";
      for (std::uint64_t const extent : info.shape) {
        out += std::exchange(comma, ",") + std::to_string(extent);
      }
      out += "],\"data_offsets\":[" + std::to_string(info.begin) + "," + std::to_string(info.end) +
             "]}";
    }
    return out;
  }

  std::vector<WordKind> kinds_;
  std::vector<io::TensorInfo> infos_;
  std::vector<std::array<std::size_t, ledger_parts>> index_;
  std::uint64_t dense_end_ = 0;
  std::string header_;
};

}  // namespace dashi::merging
