// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/file_identity.hpp>
#include <dashi/io/safetensors_file.hpp>
#include <dashi/merging/ledger_layout.hpp>
#include <dashi/merging/manifest.hpp>
#include <dashi/merging/parse_manifest.hpp>
#include <dashi/merging/sum_chunk.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::merging {

namespace detail {

[[noreturn]] inline void damaged_ledger(std::filesystem::path const& file, std::string place,
                                        std::string found, std::string expected) {
  throw FormatError({.code = "bad-ledger",
                     .file = file.string(),
                     .place = std::move(place),
                     .found = std::move(found),
                     .expected = std::move(expected),
                     .advice = "the ledger was edited or damaged; restore it or make it anew"});
}

}  // namespace detail

/// A ledger opened for reading. Every byte of its header is the one that its manifest implies;
/// anything else is a FormatError. Reads are thread-safe.
class LedgerFile {
public:
  explicit LedgerFile(std::filesystem::path const& path)
      : file_(path),
        manifest_(read_manifest(file_)),
        layout_(manifest_, read_counts(file_, manifest_)),
        active_(manifest_.mode == LedgerMode::accumulate ? ledger_scale(manifest_).active : 0) {
    std::span<std::byte const> const expected = layout_.header();
    std::vector<std::byte> found(
        static_cast<std::size_t>(std::min<std::uint64_t>(expected.size(), file_.file().size())));
    file_.file().read_exact(0, found);
    if (!std::equal(found.begin(), found.end(), expected.begin(), expected.end())) {
      detail::damaged_ledger(path, "header", "tensors that do not belong to the ledger's members",
                             "the header that dashi writes for them");
    }
    for (std::size_t t = 0; t < manifest_.tensors.size(); ++t) {
      WordKind const kind = layout_.kinds()[t];
      if ((kind != WordKind::window && layout_.find(LedgerPart::spill_index, t) != nullptr) ||
          (kind == WordKind::copied && layout_.find(LedgerPart::zero_index, t) != nullptr)) {
        damaged(t, "a sparse list of a tensor that has none", "no such list");
      }
    }
  }

  std::filesystem::path const& path() const noexcept { return file_.file().path(); }
  io::InputFile const& file() const noexcept { return file_.file(); }
  Manifest const& manifest() const noexcept { return manifest_; }
  LedgerLayout const& layout() const noexcept { return layout_; }

  /// Whether the path still leads to this file.
  bool is_current() const {
    struct stat now {};
    return ::stat(path().c_str(), &now) == 0 &&
           io::same_file(io::file_identity(now), file().identity());
  }

  /// Before a new ledger takes this one's name: IoError (73) when another file has taken it.
  void expect_current() const {
    if (!is_current()) {
      throw IoError(IoStage::create, 0,
                    {.code = "ledger-replaced",
                     .file = path().string(),
                     .place = {},
                     .found = "another file has taken the place of this soup",
                     .expected = {},
                     .advice = "run again"});
    }
  }

  /// Bytes of a part that is there, from `byte_offset` on.
  void read(LedgerPart part, std::size_t tensor, std::uint64_t byte_offset,
            std::span<std::byte> out) const {
    file_.file().read_exact(layout_.offset(part, tensor) + byte_offset, out);
  }

  /// The sums of elements [first, first + count) of a tensor, and how many list entries they have.
  /// FormatError when these are not what a ledger can hold.
  SparseCounts load(std::size_t tensor, std::uint64_t first, std::size_t count,
                    SumChunk& chunk) const {
    WordKind const kind = layout_.kinds()[tensor];
    chunk.reset(kind, count);
    if (kind == WordKind::int64) {
      read(LedgerPart::sum, tensor, first * 8, std::as_writable_bytes(std::span(chunk.sums())));
    } else {
      read(LedgerPart::low, tensor, first * 8, std::as_writable_bytes(std::span(chunk.low())));
      read(LedgerPart::high, tensor, first * 8, std::as_writable_bytes(std::span(chunk.high())));
      for (std::int64_t const high : chunk.high()) {
        if (!in_ledger_window(high)) [[unlikely]] {
          damaged(tensor, "a window sum of 2^47 or more", "such sums in the spill list");
        }
      }
    }
    return {load_spill(tensor, first, count, chunk), load_zeros(tensor, first, count, chunk)};
  }

  /// FormatError unless the parts of a tensor together had all entries of its lists: who has loaded
  /// a whole tensor knows that no entry hides behind one that is out of order.
  void expect_all_loaded(std::size_t tensor, SparseCounts const& loaded) const {
    if (loaded.spilled != length(LedgerPart::spill_index, tensor) ||
        loaded.zeros != length(LedgerPart::zero_index, tensor)) {
      damaged(tensor, "a sparse list out of order", "increasing elements of the tensor");
    }
  }

  [[noreturn]] void damaged(std::size_t tensor, std::string found, std::string expected) const {
    detail::damaged_ledger(path(), "tensor " + io::in_quotes(manifest_.tensors[tensor].name),
                           std::move(found), std::move(expected));
  }

private:
  static Manifest read_manifest(io::SafetensorsFile const& file) {
    auto const& metadata = file.header().metadata;
    auto const at = metadata.find(std::string(LedgerLayout::metadata_key));
    if (at == metadata.end()) {
      throw FormatError({.code = "not-a-ledger",
                         .file = file.file().path().string(),
                         .place = {},
                         .found = "a safetensors file without metadata 'dashi.ledger'",
                         .expected = "a soup's ledger",
                         .advice = "make one with dashi soup new"});
    }
    return parse_manifest(at->second, file.file().path().string());
  }

  static std::vector<SparseCounts> read_counts(io::SafetensorsFile const& file,
                                               Manifest const& manifest) {
    std::vector<SparseCounts> counts(manifest.tensors.size());
    for (std::size_t t = 0; t < counts.size(); ++t) {
      auto const length = [&](LedgerPart part) -> std::uint64_t {
        io::TensorInfo const* const info =
            file.header().find(std::string(prefix(part)) + ":" + manifest.tensors[t].name);
        return info == nullptr || info->shape.empty() ? 0 : info->shape[0];
      };
      counts[t] = {length(LedgerPart::spill_index), length(LedgerPart::zero_index)};
    }
    return counts;
  }

  std::uint64_t length(LedgerPart list, std::size_t tensor) const {
    io::TensorInfo const* const info = layout_.find(list, tensor);
    return info == nullptr ? 0 : info->shape[0];
  }

  std::uint64_t word(LedgerPart part, std::size_t tensor, std::uint64_t at) const {
    std::uint64_t value = 0;
    read(part, tensor, at * 8, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }

  /// Entries [first, last) of a sparse list whose elements lie in [begin, end).
  std::pair<std::uint64_t, std::uint64_t> entries(LedgerPart part, std::size_t tensor,
                                                  std::uint64_t begin, std::uint64_t end) const {
    std::uint64_t const all = length(part, tensor);
    auto const lower_bound = [&](std::uint64_t element) {
      std::uint64_t low = 0;
      std::uint64_t high = all;
      while (low < high) {
        std::uint64_t const middle = low + (high - low) / 2;
        if (word(part, tensor, middle) < element) {
          low = middle + 1;
        } else {
          high = middle;
        }
      }
      return low;
    };
    return {lower_bound(begin), lower_bound(end)};
  }

  std::vector<std::uint64_t> words(LedgerPart part, std::size_t tensor, std::uint64_t first,
                                   std::uint64_t last) const {
    std::vector<std::uint64_t> out(static_cast<std::size_t>(last - first));
    read(part, tensor, first * 8, std::as_writable_bytes(std::span(out)));
    return out;
  }

  std::vector<std::uint64_t> indices(LedgerPart part, std::size_t tensor, std::uint64_t first,
                                     std::uint64_t last, std::uint64_t begin,
                                     std::uint64_t end) const {
    if (last < first || last - first > end - begin) {
      damaged(tensor, "a sparse list out of order", "increasing elements");
    }
    std::vector<std::uint64_t> out = words(part, tensor, first, last);
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (out[i] < begin || out[i] >= end || (i > 0 && out[i] <= out[i - 1])) {
        damaged(tensor, "a sparse list out of order", "increasing elements");
      }
    }
    return out;
  }

  std::uint64_t load_spill(std::size_t tensor, std::uint64_t begin, std::size_t count,
                           SumChunk& chunk) const {
    auto const [first, last] = entries(LedgerPart::spill_index, tensor, begin, begin + count);
    if (first == last) {
      return 0;
    }
    std::vector<std::uint64_t> const at =
        indices(LedgerPart::spill_index, tensor, first, last, begin, begin + count);
    constexpr std::uint64_t words_each = kernels::WideSum::words;
    std::vector<std::uint64_t> const limbs =
        words(LedgerPart::spill_value, tensor, first * words_each, last * words_each);
    for (std::size_t i = 0; i < at.size(); ++i) {
      kernels::WideInt<kernels::WideSum::words> value;
      std::copy_n(limbs.begin() + static_cast<std::ptrdiff_t>(i * words_each), words_each,
                  value.limb);
      auto const element = static_cast<std::size_t>(at[i] - begin);
      bool const window_is_zero = chunk.low()[element] == 0 && chunk.high()[element] == 0;
      if (ledger_window(kernels::WideSum(value)) || !window_is_zero) {
        damaged(tensor,
                "a spilled sum at element " + std::to_string(at[i]) + " that fits the window",
                "it there");
      }
      chunk.wide().emplace_hint(chunk.wide().end(), element, kernels::WideSum(value));
    }
    return at.size();
  }

  static bool is_zero(SumChunk& chunk, std::size_t element) {
    if (chunk.kind() == WordKind::int64) {
      return chunk.sums()[element] == 0;
    }
    return chunk.low()[element] == 0 && chunk.high()[element] == 0 &&
           !chunk.wide().contains(element);
  }

  std::uint64_t load_zeros(std::size_t tensor, std::uint64_t begin, std::size_t count,
                           SumChunk& chunk) const {
    auto const [first, last] = entries(LedgerPart::zero_index, tensor, begin, begin + count);
    if (first == last) {
      return 0;
    }
    std::vector<std::uint64_t> const at =
        indices(LedgerPart::zero_index, tensor, first, last, begin, begin + count);
    std::vector<std::uint64_t> const counts = words(LedgerPart::zero_count, tensor, first, last);
    for (std::size_t i = 0; i < at.size(); ++i) {
      auto const element = static_cast<std::size_t>(at[i] - begin);
      if (counts[i] == 0 || counts[i] > active_) {
        damaged(
            tensor,
            std::to_string(counts[i]) + " terms that are -0 at element " + std::to_string(at[i]),
            "1 to " + std::to_string(active_));
      }
      if (counts[i] == active_ && !is_zero(chunk, element)) {
        damaged(tensor,
                "a sum other than 0 of terms that are -0 at element " + std::to_string(at[i]), "0");
      }
      chunk.put_zeros(element, counts[i]);
    }
    return at.size();
  }

  io::SafetensorsFile file_;
  Manifest manifest_;
  LedgerLayout layout_;
  std::uint64_t active_;  ///< members whose weight is not zero
};

}  // namespace dashi::merging
