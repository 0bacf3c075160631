// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/stream_options.hpp>
#include <dashi/core/error.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/dialects/dit_names.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/merging/chunk_pool.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace dashi::checkpoints {

/// The first block with an embedder other than block 0's, and the first such tensor in it.
struct EmbedderDifference {
  std::size_t block = 0;
  std::string tensor;
};

namespace detail {

/// Compares pieces of copies with block 0's; pieces come by block, so that what is beyond the first
/// difference need not be read.
class EmbedderComparison {
public:
  EmbedderComparison(io::Checkpoint const& checkpoint, io::DitNames const& names)
      : checkpoint_(checkpoint) {
    for (std::size_t block = 1; block < static_cast<std::size_t>(names.depth()); ++block) {
      for (io::DitName const& entry : names.entries()) {
        if (entry.how == io::DitStorage::every_block) {
          copies_.push_back({checkpoint.find(entry.diffusers.front()),
                             checkpoint.find(entry.diffusers[block]), block});
        }
      }
    }
  }

  std::optional<EmbedderDifference> run(StreamOptions const& options) {
    std::vector<Piece> pieces;
    for (std::size_t c = 0; c < copies_.size(); ++c) {
      Copy const& copy = copies_[c];
      if (copy.first->info.dtype != copy.other->info.dtype ||
          copy.first->info.shape != copy.other->info.shape) {
        found(c);
        break;
      }
      append_pieces(pieces, c, copy.first->info.bytes(), worker_bytes / 2);
    }
    int const workers = workers_within(options);
    std::vector<std::vector<std::byte>> buffers(static_cast<std::size_t>(workers));
    merging::run_chunks(pieces.size(), workers, [&](int worker, std::uint64_t p) {
      Piece const& piece = pieces[p];
      if (piece.tensor >= first_.load(std::memory_order_relaxed)) {
        return;
      }
      auto& buffer = buffers[static_cast<std::size_t>(worker)];
      buffer.resize(static_cast<std::size_t>(worker_bytes));
      auto const count = static_cast<std::size_t>(piece.count);
      std::span const one = std::span(buffer).first(count);
      std::span const two = std::span(buffer).last(count);
      checkpoint_.read(*copies_[piece.tensor].first, piece.first, one);
      checkpoint_.read(*copies_[piece.tensor].other, piece.first, two);
      if (!std::equal(one.begin(), one.end(), two.begin())) {
        found(piece.tensor);
      }
    });
    std::size_t const first = first_.load();
    return first == none ? std::nullopt
                         : std::optional(EmbedderDifference{copies_[first].block,
                                                            copies_[first].other->info.name});
  }

private:
  struct Copy {
    io::TensorRef const* first;
    io::TensorRef const* other;
    std::size_t block;
  };
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

  void found(std::size_t copy) noexcept {
    std::size_t before = first_.load();
    while (copy < before && !first_.compare_exchange_weak(before, copy)) {
    }
  }

  io::Checkpoint const& checkpoint_;
  std::vector<Copy> copies_;
  std::atomic<std::size_t> first_{none};
};

}  // namespace detail

/// Whether the timestep and class embedders that a DiT in diffusers names has in every block are
/// the same bytes; nothing when they are. `names` are those of the checkpoint, all there. Reads
/// 2.8 million numbers a block of a DiT-XL until the first difference.
inline std::optional<EmbedderDifference> compare_embedders(io::Checkpoint const& checkpoint,
                                                           io::DitNames const& names,
                                                           StreamOptions const& options = {}) {
  return detail::EmbedderComparison(checkpoint, names).run(options);
}

/// FormatError, with the reason, for a model that has no equivalent in original names.
inline void expect_equal_embedders(io::Checkpoint const& checkpoint, io::DitNames const& names,
                                   StreamOptions const& options = {}) {
  if (auto const difference = compare_embedders(checkpoint, names, options)) {
    throw FormatError(
        {.code = "embedders-differ",
         .file = checkpoint.path().string(),
         .place = "tensor " + io::in_quotes(difference->tensor),
         .found = "other numbers than in block 0: the model was trained in diffusers from scratch, "
                  "or changed block by block; the copies differ from block " +
                  std::to_string(difference->block) + " on",
         .expected = "equal copies in all blocks, since under original names a model has one "
                     "embedder",
         .advice = "run it as it is, with embedders per_block"});
  }
}

}  // namespace dashi::checkpoints
