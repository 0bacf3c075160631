// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/rewrite.hpp>
#include <dashi/checkpoints/stream_options.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/checkpoint_writer.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/merging/chunk_pool.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// What reshard() left.
struct ReshardResult {
  std::filesystem::path path;  ///< the file, or the index
  std::size_t shards = 1;
};

/// Dtypes and shapes of all tensors, by name.
inline std::vector<io::TensorSpec> specs_of(io::Checkpoint const& checkpoint) {
  std::vector<io::TensorSpec> specs;
  specs.reserve(checkpoint.tensors().size());
  for (io::TensorRef const& ref : checkpoint.tensors()) {
    specs.push_back({ref.info.name, ref.info.dtype, ref.info.shape});
  }
  return specs;
}

/// Writes the same tensors and metadata as one file, or, with output.largest_shard, as shards with
/// an index, which are filled in the order of names. The result depends on the content alone, not
/// on how the input was cut.
///
/// Of shards that disagree on metadata the pairs in common are kept (unshared_metadata() names the
/// rest). The files of the input are added to those that may not be replaced. Throws IoError,
/// FormatError (expect_no_ledger) and UsageError.
inline ReshardResult reshard(io::Checkpoint const& checkpoint, std::filesystem::path const& path,
                             io::CheckpointOutput output, StreamOptions const& options = {},
                             io::Progress& progress = io::no_progress()) {
  expect_no_ledger(checkpoint);
  for (io::FileIdentity const& input : input_identities(checkpoint)) {
    output.file.inputs.push_back(input);
  }
  int const workers = workers_within(options);
  io::CheckpointWriter writer(path, specs_of(checkpoint), checkpoint.metadata(), output);
  std::vector<Piece> pieces;
  for (std::size_t t = 0; t < checkpoint.tensors().size(); ++t) {
    append_pieces(pieces, t, checkpoint.tensors()[t].info.bytes(), worker_bytes);
  }
  progress.start(checkpoint.bytes());
  std::vector<std::vector<std::byte>> buffers(static_cast<std::size_t>(workers));
  merging::run_chunks(pieces.size(), workers, [&](int worker, std::uint64_t p) {
    Piece const& piece = pieces[p];
    auto& buffer = buffers[static_cast<std::size_t>(worker)];
    auto const count = static_cast<std::size_t>(piece.count);
    buffer.resize(std::max(buffer.size(), count));
    std::span const bytes = std::span(buffer).first(count);
    checkpoint.read(checkpoint.tensors()[piece.tensor], piece.first, bytes);
    writer.write(piece.tensor, piece.first, bytes);
    progress.advance(count);
  });
  checkpoint.expect_unchanged();
  writer.commit();
  return {writer.path(), writer.shards()};
}

}  // namespace dashi::checkpoints
