// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/dit_conversion.hpp>
#include <dashi/checkpoints/rewrite.hpp>
#include <dashi/checkpoints/stream_options.hpp>
#include <dashi/core/error.hpp>
#include <dashi/io/checkpoint_digest.hpp>
#include <dashi/io/checkpoint_writer.hpp>
#include <dashi/io/commit_with_text.hpp>
#include <dashi/io/dialects/dit_config_json.hpp>
#include <dashi/io/new_folder.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/merging/chunk_pool.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// Metadata for the output of a conversion between the names of DiT.
struct DitProvenance {
  std::map<std::string, std::string> metadata;
  std::string digest;     ///< of the input; empty when it was not wanted or the origin is restored
  bool restored = false;  ///< the output is the file from which the input was made, metadata too
};

/// What convert_dit() left.
struct DitConvertResult {
  std::filesystem::path path;    ///< the file, or the index
  std::filesystem::path config;  ///< the config.json beside it, or empty
  std::size_t shards = 1;
};

namespace detail {

/// io::checkpoint_digest of what the conversion will write.
inline std::string digest_of_result(DitConversion const& plan, StreamOptions const& options,
                                    io::Progress& progress) {
  std::vector<io::TensorDigest> digests(plan.tensors.size());
  int const workers = workers_within(options);
  std::vector<std::vector<std::byte>> buffers(static_cast<std::size_t>(workers));
  progress.start(plan.bytes_to_write);
  merging::run_chunks(plan.tensors.size(), workers, [&](int worker, std::uint64_t t) {
    DitTarget const& target = plan.tensors[t];
    auto& buffer = buffers[static_cast<std::size_t>(worker)];
    buffer.resize(static_cast<std::size_t>(worker_bytes));
    io::Sha256 hash;
    for (std::uint64_t at = 0; at < target.bytes; at += worker_bytes) {
      auto const part = std::span(buffer).first(
          static_cast<std::size_t>(std::min(worker_bytes, target.bytes - at)));
      plan.read(t, at, part);
      hash.update(part);
      progress.advance(part.size());
    }
    digests[t] = {target.spec.name, target.spec.dtype, target.spec.shape, hash.finish()};
  });
  return io::member_digest(std::move(digests));
}

}  // namespace detail

/// Reads the input once when `with_digest`. Where its record says from what it was made, and the
/// output would be just that, its old metadata comes back instead of a new record.
inline DitProvenance dit_provenance(DitConversion const& plan, bool with_digest,
                                    StreamOptions const& options = {},
                                    io::Progress& progress = io::no_progress()) {
  io::Checkpoint const& input = *plan.checkpoint;
  auto const record = dit_record(input);
  DitProvenance out;
  if (record && record->names == names_option(plan.model.dialect) && !record->digest.empty() &&
      record->digest == detail::digest_of_result(plan, options, progress)) {
    out.metadata = record->undo(input.metadata());
    out.restored = true;
    return out;
  }
  if (with_digest) {
    out.digest =
        io::checkpoint_digest(input, static_cast<std::size_t>(workers_within(options)), progress);
  }
  io::TensorRef const* const stored = input.find("pos_embed");
  out.metadata = renamed_metadata(
      input, plan.model, plan.to, out.digest,
      stored == nullptr ? std::string() : std::string(io::name(stored->info.dtype)));
  return out;
}

/// Whether a path names a folder: it is one, or ends in a separator.
inline bool names_folder(std::filesystem::path const& path) {
  std::error_code error;
  return !path.has_filename() || std::filesystem::is_directory(path, error);
}

/// Where the weights go: diffusion_pytorch_model.safetensors in a folder, else the path itself.
inline std::filesystem::path dit_weights_path(DitConversion const& plan,
                                              std::filesystem::path const& path) {
  return plan.to == io::Dialect::dit_diffusers && names_folder(path)
             ? path / "diffusion_pytorch_model.safetensors"
             : path;
}

/// FormatError when no config.json of diffusers can describe the model.
inline void expect_for_diffusers(DitConversion const& plan) {
  if (char const* const reason = not_for_diffusers(plan.model.configuration)) {
    throw FormatError({.code = "not-for-diffusers",
                       .file = plan.checkpoint->path().string(),
                       .place = {},
                       .found = reason,
                       .expected = "what a config.json of diffusers can say",
                       .advice = plan.model.configuration.heads == 0
                                     ? "give --heads"
                                     : "write a file instead of a folder"});
  }
}

/// Writes a DiT in the other dialect as one file or, with output.largest_shard, as shards: tensors
/// are copied byte for byte, whole, in thirds, or into every block; the table of positions is left
/// out or computed. From original names `path` may be a folder, which is made when it ends in a
/// separator; then the file is diffusion_pytorch_model.safetensors, and a config.json is written
/// with which diffusers loads it. A process killed at the end may leave config.json alone.
///
/// Call check_dit_conversion() first: this function does not compare what it leaves out. The files
/// of the input are added to those that may not be replaced. Throws IoError, and FormatError for a
/// folder when diffusers' model cannot be such.
inline DitConvertResult convert_dit(DitConversion const& plan,
                                    std::map<std::string, std::string> const& metadata,
                                    std::filesystem::path const& path, io::CheckpointOutput output,
                                    StreamOptions const& options = {},
                                    io::Progress& progress = io::no_progress()) {
  io::Checkpoint const& checkpoint = *plan.checkpoint;
  std::filesystem::path const weights = dit_weights_path(plan, path);
  bool const in_folder = weights != path;
  std::optional<io::NewFolder> folder;
  if (in_folder) {
    expect_for_diffusers(plan);
    folder.emplace(weights.parent_path());
  }
  for (io::FileIdentity const& input : input_identities(checkpoint)) {
    output.file.inputs.push_back(input);
  }
  int const workers = workers_within(options);
  io::CheckpointWriter writer(weights, plan.specs(), metadata, output);
  std::string const text =
      in_folder ? dit_config_text(plan.model.configuration, plan.model.variant) : std::string();
  std::optional<io::OutputFile> config;
  if (in_folder) {
    config.emplace(weights.parent_path() / "config.json", output.file, text.size());
    config->write_at(0, std::as_bytes(std::span(text)));
  }
  std::vector<Piece> pieces;
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
    append_pieces(pieces, t, plan.tensors[t].bytes, worker_bytes);
  }
  std::vector<std::vector<std::byte>> buffers(static_cast<std::size_t>(workers));
  progress.start(plan.bytes_to_write);
  merging::run_chunks(pieces.size(), workers, [&](int worker, std::uint64_t p) {
    Piece const& piece = pieces[p];
    auto& buffer = buffers[static_cast<std::size_t>(worker)];
    auto const count = static_cast<std::size_t>(piece.count);
    buffer.resize(std::max(buffer.size(), count));
    std::span const bytes = std::span(buffer).first(count);
    plan.read(piece.tensor, piece.first, bytes);
    writer.write(piece.tensor, piece.first, bytes);
    progress.advance(count);
  });
  checkpoint.expect_unchanged();
  if (config) {
    io::commit_with_text(writer, *config, std::as_bytes(std::span(text)));
  } else {
    writer.commit();
  }
  if (folder) {
    folder->keep();
  }
  return {writer.path(), config ? config->path() : std::filesystem::path(), writer.shards()};
}

}  // namespace dashi::checkpoints
