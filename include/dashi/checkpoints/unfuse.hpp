// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/fuse_tensor.hpp>
#include <dashi/checkpoints/fuse_undo_file.hpp>
#include <dashi/checkpoints/rewrite.hpp>
#include <dashi/checkpoints/stream_options.hpp>
#include <dashi/checkpoints/unfuse_files.hpp>
#include <dashi/core/error.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/merging/chunk_pool.hpp>
#include <dashi/merging/ordered_digest.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

namespace detail {

[[noreturn]] inline void refuse_fused(io::Checkpoint const& fused, FuseUndoFile const& undo,
                                      std::string place, std::string found, std::string expected) {
  throw FormatError({.code = "not-this-fusion",
                     .file = fused.path().string(),
                     .place = std::move(place),
                     .found = std::move(found),
                     .expected = std::move(expected) + " as " +
                                 io::in_quotes(undo.file().path().string()) + " says",
                     .advice = "give the file that was fused with this undo file, unchanged"});
}

/// One pass over a fused checkpoint that writes the base's files.
class UnfusePass {
public:
  UnfusePass(io::Checkpoint const& fused, FuseUndoFile const& undo, UnfuseFiles& files)
      : fused_(fused), undo_(undo), files_(files) {
    std::vector<io::TensorDigestOf<io::Xxh3>> tensors;
    std::size_t expected = 0;
    for (UndoneFile const& file : undo.files()) {
      expected += file.header.tensors.size();
    }
    if (expected != fused.tensors().size()) {
      refuse_fused(fused, undo, {}, std::to_string(fused.tensors().size()) + " tensors",
                   std::to_string(expected));
    }
    for (std::size_t t = 0; t < fused.tensors().size(); ++t) {
      add(t);
      io::TensorInfo const& info = fused.tensors()[t].info;
      tensors.push_back({info.name, info.dtype, info.shape, {}});
    }
    digests_.add_member(tensors);  // of the fused checkpoint
    digests_.add_member(tensors);  // of the base
  }

  void run(StreamOptions const& options, io::Progress& progress) {
    int const workers = workers_within(options);
    struct Worker {
      std::vector<std::byte> bytes, packed;
    };
    std::vector<Worker> team(static_cast<std::size_t>(workers));
    progress.start(fused_.bytes());
    merging::run_chunks(pieces_.size(), workers, [&](int w, std::uint64_t p) {
      try {
        Worker& worker = team[static_cast<std::size_t>(w)];
        unfuse(p, worker.bytes, worker.packed);
        progress.advance(worker.bytes.size());
      } catch (...) {
        digests_.abandon_after(p);
        throw;
      }
    });
    fused_.expect_unchanged();
    if (digests_.member_digest(0) != undo_.record().fused) {
      refuse_fused(fused_, undo_, "tensors", "digest " + digests_.member_digest(0),
                   undo_.record().fused);
    }
    if (digests_.member_digest(1) != undo_.record().base) {
      refuse_fused(fused_, undo_, "restored tensors", "digest " + digests_.member_digest(1),
                   undo_.record().base);
    }
  }

private:
  struct Target {
    std::size_t file = 0;
    std::uint64_t begin = 0;            // of its bytes in that file
    std::uint64_t row_bytes = 0;        // of a changed tensor
    std::vector<std::uint64_t> places;  // of its pieces; empty for an unchanged tensor
    std::uint64_t rows_each = 0;
  };

  void add(std::size_t t) {
    io::TensorRef const& ref = fused_.tensors()[t];
    Target target;
    io::TensorInfo const* base = nullptr;
    for (std::size_t f = 0; f < undo_.files().size() && base == nullptr; ++f) {
      base = undo_.files()[f].header.find(ref.info.name);
      target.file = f;
    }
    if (base == nullptr || base->dtype != ref.info.dtype || base->shape != ref.info.shape) {
      refuse_fused(fused_, undo_, "tensor " + io::in_quotes(ref.info.name),
                   std::string(io::name(ref.info.dtype)) + " " + io::shape_text(ref.info.shape),
                   base == nullptr
                       ? "no such tensor"
                       : std::string(io::name(base->dtype)) + " " + io::shape_text(base->shape));
    }
    target.begin = undo_.files()[target.file].prefix.size() + base->begin;
    PlannedFusion const like{&ref, {}};
    if (undo_.changed(ref.info.name) && like.cols() > 0) {
      std::size_t const first = pieces_.size();
      target.rows_each = fused_rows(like);
      append_pieces(pieces_, t, like.rows(), target.rows_each);
      target.row_bytes = ref.info.bytes() / like.rows();
      target.places = undo_.places(ref.info.name, pieces_.size() - first);
    } else {
      append_pieces(pieces_, t, ref.info.bytes(), worker_bytes / 4);
    }
    targets_.push_back(std::move(target));
  }

  void unfuse(std::uint64_t p, std::vector<std::byte>& bytes, std::vector<std::byte>& packed) {
    Piece const& piece = pieces_[p];
    Target const& target = targets_[piece.tensor];
    io::TensorRef const& ref = fused_.tensors()[piece.tensor];
    bool const changed = !target.places.empty();
    std::uint64_t const unit = changed ? target.row_bytes : 1;
    std::uint64_t const offset = piece.first * unit;
    bytes.resize(static_cast<std::size_t>(piece.count * unit));
    fused_.read(ref, offset, bytes);
    digests_.update(p, 0, piece.tensor, offset, ref.info.bytes(), bytes);
    if (changed) {
      auto const at = static_cast<std::size_t>(piece.first / target.rows_each);
      undo_.undo(ref.info.name, target.places[at], target.places[at + 1],
                 static_cast<std::size_t>(io::bits(ref.info.dtype)) / 8, packed, bytes);
    }
    digests_.update(p, 1, piece.tensor, offset, ref.info.bytes(), bytes);
    files_.write(target.file, target.begin + offset, bytes);
  }

  io::Checkpoint const& fused_;
  FuseUndoFile const& undo_;
  UnfuseFiles& files_;
  std::vector<Target> targets_;
  std::vector<Piece> pieces_;
  merging::OrderedDigest<io::Xxh3> digests_;
};

}  // namespace detail

/// Gives the base of a fused checkpoint back, byte for byte, header and padding too. Nothing is
/// computed: bits come from the undo file. What is read must have the digest of the fused
/// checkpoint, and what comes out that of the base, else FormatError and no output.
///
/// `path`: the file to write. A base of shards keeps their names: then `path` is its index, of the
/// same name. Throws IoError, FormatError and UsageError.
inline void unfuse(io::Checkpoint const& fused, FuseUndoFile const& undo,
                   std::filesystem::path const& path, io::OutputOptions output,
                   StreamOptions const& options = {}, io::Progress& progress = io::no_progress()) {
  for (io::FileIdentity const& input : input_identities(fused)) {
    output.inputs.push_back(input);
  }
  output.inputs.push_back(undo.file().identity());
  UnfuseFiles files(undo, path, output);
  detail::UnfusePass(fused, undo, files).run(options, progress);
  undo.file().expect_unchanged();
  files.commit();
}

}  // namespace dashi::checkpoints
