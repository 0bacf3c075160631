// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/io/dtype.hpp>
#include <dashi/merging/buffer_stack.hpp>
#include <dashi/merging/chunk_pool.hpp>
#include <dashi/merging/mean_options.hpp>
#include <dashi/merging/planned_tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace dashi::merging {

/// Elements [first, first + count) of a tensor. A copied tensor counts in bytes.
struct Piece {
  std::size_t tensor = 0;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

/// Pieces in a row that are alike in every dtype: read side by side and computed by one call.
struct Segment {
  std::size_t first_piece = 0;
  std::size_t pieces = 0;
  std::uint64_t count = 0;  ///< elements of all pieces
};

/// What one worker does at a time: a part of a large tensor, or many small ones.
struct Chunk {
  std::size_t first_segment = 0;
  std::size_t segments = 0;
};

/// How the tensors are cut. The cut never changes a result, only speed and memory.
struct ChunkLayout {
  std::vector<Piece> pieces;
  std::vector<Segment> segments;
  std::vector<Chunk> chunks;
  std::vector<std::uint64_t> last_chunk;  ///< of each tensor; 0 for a tensor without elements
  std::uint64_t worker_bytes = 0;         ///< buffers of one worker
  int workers = 1;
};

/// Dtype in which the values of all sources are held: theirs when they agree, else the smallest
/// that holds each exactly.
inline io::Dtype common_dtype(PlannedTensor const& tensor) {
  io::Dtype common = tensor.like().dtype;
  for (io::TensorRef const* ref : tensor.sources) {
    if (ref != nullptr && ref->info.dtype != common) {
      bool const f64 = ref->info.dtype == io::Dtype::f64 || common == io::Dtype::f64;
      common = f64 ? io::Dtype::f64 : io::Dtype::f32;
    }
  }
  return common;
}

/// Bytes of one element of an averaged dtype; 1 for copied tensors, which count in bytes.
inline std::uint64_t unit_bytes(bool averaged, io::Dtype dtype) {
  return averaged ? static_cast<std::uint64_t>(io::bits(dtype)) / 8 : 1;
}

/// Units of a piece's count in a tensor.
inline std::uint64_t units(PlannedTensor const& tensor) {
  return tensor.averaged ? tensor.elements() : tensor.like().bytes();
}

/// Dtype in which a pass holds the values of a tensor that is averaged.
inline io::Dtype held_dtype(PlannedTensor const& tensor, bool as_double) {
  return as_double ? io::Dtype::f64 : common_dtype(tensor);
}

/// Bytes of an element as a source stores it, as far as room for that is needed besides the values
/// as they are held: of the widest source that is converted.
inline std::uint64_t stored_bytes(PlannedTensor const& tensor, io::Dtype held) {
  std::uint64_t widest = 0;
  for (io::TensorRef const* ref : tensor.sources) {
    if (ref != nullptr && ref->info.dtype != held) {
      widest = std::max(widest, unit_bytes(true, ref->info.dtype));
    }
  }
  return widest;
}

/// Bytes that one worker needs for an element.
inline std::uint64_t cost_per_unit(PlannedTensor const& tensor, bool as_double) {
  if (!tensor.averaged) {
    return 2;  // the first member's bytes, and another's to compare with
  }
  io::Dtype const held = held_dtype(tensor, as_double);
  return unit_bytes(true, held) * tensor.sources.size() + stored_bytes(tensor, held) +
         unit_bytes(true, tensor.dtype) + (as_double ? 8 : 0) /* the strategy's result */;
}

/// Whether two tensors may share a segment: read, held and computed in one go.
inline bool alike(PlannedTensor const& a, PlannedTensor const& b) {
  auto const same = [&](io::TensorRef const* x, io::TensorRef const* y) {
    return (x == nullptr) == (y == nullptr) &&
           (x == nullptr || !a.averaged || x->info.dtype == y->info.dtype);
  };
  return a.averaged == b.averaged && a.weights == b.weights &&
         (!a.averaged || a.dtype == b.dtype) &&
         std::equal(a.sources.begin(), a.sources.end(), b.sources.begin(), same);
}

/// Room lost to alignment in one segment.
inline std::uint64_t cost_per_segment(std::size_t sources) {
  return BufferStack::alignment * (sources + 3);
}

/// Cuts `tensors` (in the order in which they are written) for `sources` members each. With
/// `whole_tensors` no tensor is cut; with `as_double` all values are held as double. UsageError
/// when not even one worker fits the budget.
inline ChunkLayout lay_out_chunks(std::span<PlannedTensor const> tensors, std::size_t sources,
                                  MergeOptions const& options, bool whole_tensors, bool as_double) {
  DASHI_EXPECTS(options.workers >= 0, "workers must not be negative");
  constexpr std::uint64_t smallest_piece = 1024;  // elements
  std::uint64_t const per_segment = cost_per_segment(sources);
  std::uint64_t needed = per_segment;
  for (PlannedTensor const& tensor : tensors) {
    std::uint64_t const count =
        whole_tensors ? units(tensor) : std::min(units(tensor), smallest_piece);
    needed = std::max(needed, per_segment + count * cost_per_unit(tensor, as_double));
  }
  if (needed > options.memory_budget) {
    throw UsageError(
        {.code = "memory-budget",
         .file = {},
         .place = {},
         .found = "a memory budget of " + std::to_string(options.memory_budget) + " bytes",
         .expected = "at least " + std::to_string(needed) + " for " + std::to_string(sources) +
                     " checkpoints",
         .advice = "raise --mem"});
  }
  // The chunks of all members stay in a core's second-level cache when that leaves reads that are
  // long enough.
  std::uint64_t const chunk_bytes =
      options.chunk_bytes != 0
          ? std::min(options.chunk_bytes, options.memory_budget)
          : std::clamp<std::uint64_t>((std::uint64_t{1} << 20) / (sources + 1),
                                      std::uint64_t{32} << 10, std::uint64_t{256} << 10);
  ChunkLayout out;
  out.workers = worker_count(options.workers);
  std::uint64_t const wanted = std::max(needed, chunk_bytes * (sources + 1));
  std::uint64_t const workers = std::clamp<std::uint64_t>(options.memory_budget / needed, 1,
                                                          static_cast<std::uint64_t>(out.workers));
  out.workers = static_cast<int>(workers);
  std::uint64_t const room = std::clamp(options.memory_budget / workers, needed, wanted);
  out.worker_bytes = room;

  std::uint64_t used = 0;  // of the open chunk
  PlannedTensor const* previous = nullptr;
  out.last_chunk.resize(tensors.size());
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    PlannedTensor const& tensor = tensors[t];
    std::uint64_t const cost = cost_per_unit(tensor, as_double);
    std::uint64_t const total = units(tensor);
    for (std::uint64_t first = 0; first < total;) {
      bool const joins = used > 0 && alike(*previous, tensor);
      std::uint64_t const left = room - used;
      std::uint64_t const extra = joins ? 0 : per_segment;
      std::uint64_t const fits = left > extra ? (left - extra) / cost : 0;
      std::uint64_t count = std::min(fits, total - first);
      if (count < total - first) {
        // A part of a tensor: not worth it below the smallest piece, and even parts align writes.
        count =
            whole_tensors || count < smallest_piece ? 0 : count / smallest_piece * smallest_piece;
      }
      if (count == 0) {
        DASHI_EXPECTS(used > 0, "a piece must fit an empty chunk");
        used = 0;  // the next round opens a chunk
        continue;
      }
      if (used == 0) {
        out.chunks.push_back({out.segments.size(), 0});
      }
      if (!joins) {
        out.segments.push_back({out.pieces.size(), 0, 0});
        ++out.chunks.back().segments;
      }
      out.pieces.push_back({t, first, count});
      ++out.segments.back().pieces;
      out.segments.back().count += count;
      out.last_chunk[t] = out.chunks.size() - 1;
      used += extra + count * cost;
      first += count;
      previous = &tensor;
    }
  }
  return out;
}

}  // namespace dashi::merging
