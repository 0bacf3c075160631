// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/convert_dtype.hpp>
#include <dashi/checkpoints/fuse_metadata.hpp>
#include <dashi/checkpoints/fuse_pass.hpp>
#include <dashi/checkpoints/fuse_plan.hpp>
#include <dashi/checkpoints/fuse_undo_record.hpp>
#include <dashi/checkpoints/fuse_undo_writer.hpp>
#include <dashi/checkpoints/reshard.hpp>
#include <dashi/io/checkpoint_path.hpp>
#include <dashi/io/checkpoint_writer.hpp>
#include <dashi/io/commit_beside.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/progress.hpp>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

namespace dashi::checkpoints {

/// How a fusion runs.
struct FuseOptions {
  ConvertOptions numbers{};       ///< what becomes of NaN and overflow; memory and threads
  bool digests = true;            ///< of the base, for the metadata; with an undo file always
  std::filesystem::path undo;     ///< where to write what unfuse() needs; empty: nowhere
  io::OutputOptions undo_file{};  ///< how; the base's files are added to its inputs
};

/// What fuse() left.
struct FuseResult {
  std::filesystem::path path;  ///< the file, or the index
  std::size_t shards = 1;
  std::string base_digest;    ///< by XXH3; empty without digests
  std::string fused_digest;   ///< the same; only with an undo file
  ConversionCounts counts{};  ///< results that are not finite
};

namespace detail {

inline FuseUndoRecord undo_record(FusePlan const& plan, FuseResult const& result) {
  FuseUndoRecord record;
  record.base = result.base_digest;
  record.fused = result.fused_digest;
  for (io::SafetensorsFile const& file : plan.base->files()) {
    record.files.push_back(file_name_text(file.file().path()));
    record.data_bytes.push_back(file.header().data_bytes());
  }
  if (plan.base->is_sharded()) {
    record.index = file_name_text(io::resolve_checkpoint_path(plan.base->path()));
  }
  for (FuseAdapter const& adapter : plan.adapters) {
    record.adapters.push_back({adapter.name, adapter.digest, text(adapter.strength)});
  }
  return record;
}

}  // namespace detail

/// Writes the base with its adapters in it, in the dtypes of the base, as one file or, with
/// output.largest_shard, as shards. Every element that changes is computed in double from the base
/// and all its adapters, in their order, and rounded once, to nearest, ties to even; other tensors
/// are copied byte for byte. No result depends on threads or memory.
///
/// Memory: fuse_memory(); the factors of as many tensors as there are threads may be in work at
/// once. Kokkos need not be initialised. Throws FormatError for NaN, infinity and overflow as the
/// policies say, and as FuseTensor does; then no output appears.
inline FuseResult fuse(FusePlan const& plan, std::filesystem::path const& path,
                       io::CheckpointOutput output, FuseOptions options = {},
                       io::Progress& progress = io::no_progress()) {
  bool const undo = !options.undo.empty();
  bool const digests = options.digests || undo;
  for (io::FileIdentity const& input : input_identities(*plan.base)) {
    output.file.inputs.push_back(input);
    options.undo_file.inputs.push_back(input);
  }
  detail::FusePass pass(plan, options.numbers, digests, undo);
  std::string const placeholder = digests ? io::placeholder_digest(io::DigestKind::xxh3) : "";
  io::CheckpointWriter writer(path, specs_of(*plan.base), fused_metadata(plan, placeholder),
                              output);
  std::optional<FuseUndoWriter> undo_writer;
  if (undo) {
    undo_writer.emplace(options.undo, options.undo_file, plan, pass.pieces(),
                        options.numbers.stream.memory_budget);
  }
  pass.run(progress, [&](std::size_t p, std::uint64_t offset, std::span<std::byte const> before,
                         std::span<std::byte const> after) {
    std::size_t const tensor = pass.pieces()[p].tensor;
    writer.write(tensor, offset, after);
    if (undo_writer && plan.tensors[tensor].touched()) {
      undo_writer->append(p, before, after);
    }
  });
  FuseResult result;
  result.path = writer.path();
  result.shards = writer.shards();
  result.counts = pass.counts();
  if (digests) {
    result.base_digest = pass.base_digest();
    writer.replace_metadata(fused_metadata(plan, result.base_digest));
  }
  if (!undo) {
    writer.commit();
    return result;
  }
  result.fused_digest = pass.fused_digest();
  undo_writer->prepare(detail::undo_record(plan, result));
  // The undo file first: without it the result could not be undone.
  io::commit_beside(undo_writer->output(), writer);
  return result;
}

}  // namespace dashi::checkpoints
