// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/checkpoint.hpp>
#include <dashi/merging/merge_plan.hpp>

#include <fcntl.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace dashi::merging {

/// Bytes [begin, end) of a piece within a source's tensor, which it has.
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

inline ByteRange byte_range(MergePlan const& plan, Piece const& piece, std::size_t source) {
  PlannedTensor const& tensor = plan.tensors[piece.tensor];
  std::uint64_t const unit = unit_bytes(tensor.averaged, tensor.sources[source]->info.dtype);
  return {piece.first * unit, (piece.first + piece.count) * unit};
}

/// Calls visit(file, offset in that file, bytes) for pieces [first, last) of a source, those that
/// follow each other in a file joined into one call. What the source lacks is passed over.
template <class Visit>
void for_each_extent(MergePlan const& plan, std::size_t source, std::size_t first, std::size_t last,
                     Visit&& visit) {
  io::Checkpoint const& checkpoint = *plan.sources[source].checkpoint;
  std::size_t file = 0;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  for (std::size_t p = first; p < last; ++p) {
    Piece const& piece = plan.layout.pieces[p];
    if (plan.tensors[piece.tensor].sources[source] == nullptr) {
      continue;
    }
    io::TensorRef const& ref = *plan.tensors[piece.tensor].sources[source];
    ByteRange const range = byte_range(plan, piece, source);
    std::uint64_t const start = checkpoint.files()[ref.file].header().data_begin + ref.info.begin;
    if (end > begin && ref.file == file && start + range.begin == end) {
      end += range.end - range.begin;
      continue;
    }
    if (end > begin) {
      visit(checkpoint.files()[file].file(), begin, end - begin);
    }
    file = ref.file;
    begin = start + range.begin;
    end = start + range.end;
  }
  if (end > begin) {
    visit(checkpoint.files()[file].file(), begin, end - begin);
  }
}

/// Asks the kernel for what the chunks after the present ones will read, in windows of about 32 MiB
/// over all sources. Files that are in the page cache are left alone: asking costs more than it
/// gives.
class ReadAhead {
public:
  explicit ReadAhead(MergePlan const& plan) : plan_(&plan) {
    std::uint64_t const chunks = std::max<std::uint64_t>(plan.layout.chunks.size(), 1);
    std::uint64_t const average = std::max<std::uint64_t>(plan.bytes_to_read / chunks, 1);
    stride_ = std::clamp<std::uint64_t>(window / average, 1, chunks);
  }

  /// To be called as `chunk` begins.
  void at(std::uint64_t chunk) const {
    if (chunk % stride_ == 0) {
      ask(chunk + stride_);
    }
  }

private:
  static constexpr std::uint64_t window = std::uint64_t{32} << 20;

  void ask(std::uint64_t from) const {
    ChunkLayout const& layout = plan_->layout;
    if (from >= layout.chunks.size()) {
      return;
    }
    auto const first_piece = [&](std::uint64_t chunk) {
      return chunk < layout.chunks.size()
                 ? layout.segments[layout.chunks[chunk].first_segment].first_piece
                 : layout.pieces.size();
    };
    for (std::size_t s = 0; s < plan_->sources.size(); ++s) {
      for_each_extent(*plan_, s, first_piece(from), first_piece(from + stride_),
                      [](io::InputFile const& file, std::uint64_t offset, std::uint64_t bytes) {
                        if (!cached(file.descriptor(), offset)) {
                          ::posix_fadvise(file.descriptor(), static_cast<off_t>(offset),
                                          static_cast<off_t>(bytes), POSIX_FADV_WILLNEED);
                        }
                      });
    }
  }

  /// Whether the byte at `offset` can be read without waiting for a disk; yes when unknown.
  static bool cached(int descriptor, std::uint64_t offset) {
    char byte = 0;
    struct iovec target {
      &byte, 1
    };
    return ::preadv2(descriptor, &target, 1, static_cast<off_t>(offset), RWF_NOWAIT) >= 0 ||
           errno != EAGAIN;
  }

  MergePlan const* plan_;
  std::uint64_t stride_ = 1;
};

}  // namespace dashi::merging
