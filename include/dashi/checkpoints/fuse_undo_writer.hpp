// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/fuse_bits.hpp>
#include <dashi/checkpoints/fuse_plan.hpp>
#include <dashi/checkpoints/fuse_undo_record.hpp>
#include <dashi/checkpoints/stream_options.hpp>
#include <dashi/io/checkpoint_path.hpp>
#include <dashi/io/input_file.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/io/safetensors_layout.hpp>
#include <dashi/merging/sparse_spool.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// Writes what brings a base back from its fused file: a safetensors file with
///
///     header.I   U8  first bytes of the base's I-th file, up to its tensor data
///     index      U8  the base's index, if it has one
///     bits.NAME  U8  of every tensor NAME that changed: for every piece of fused_rows() rows the
///                    size of what follows for it, four bytes, least significant first; then the
///                    pieces, as pack_changed_bits() writes them
///
/// and the record of the fusion as metadata (FuseUndoRecord). Holds few pieces in memory, the rest
/// in a temporary file beside it.
class FuseUndoWriter {
public:
  FuseUndoWriter(std::filesystem::path path, io::OutputOptions options, FusePlan const& plan,
                 std::vector<Piece> const& pieces, std::uint64_t memory)
      : path_(std::move(path)),
        options_(std::move(options)),
        plan_(plan),
        pieces_(pieces),
        spool_(path_, pieces.size(),
               static_cast<std::size_t>(std::min<std::uint64_t>(memory / 8, most_spooled))) {}

  /// Notes a piece that changed. Thread-safe for different pieces.
  void append(std::size_t piece, std::span<std::byte const> before,
              std::span<std::byte const> after) {
    PlannedFusion const& tensor = plan_.tensors[pieces_[piece].tensor];
    std::vector<std::byte> packed;
    pack_changed_bits(static_cast<std::size_t>(io::bits(tensor.ref->info.dtype)) / 8, before, after,
                      packed);
    spool_.append(piece, packed);
  }

  /// Makes the file complete and durable, but not visible yet.
  void prepare(FuseUndoRecord const& record) {
    std::vector<io::TensorSpec> specs;
    std::vector<std::vector<std::byte>> whole = prefixes();
    for (std::size_t i = 0; i < whole.size(); ++i) {
      specs.push_back({i < plan_.base->files().size() ? "header." + std::to_string(i) : "index",
                       io::Dtype::u8,
                       {whole[i].size()}});
    }
    std::map<std::size_t, std::vector<std::size_t>> touched;  // tensor to its pieces
    for (std::size_t p = 0; p < pieces_.size(); ++p) {
      if (plan_.tensors[pieces_[p].tensor].touched()) {
        touched[pieces_[p].tensor].push_back(p);
      }
    }
    for (auto const& [t, pieces] : touched) {
      std::uint64_t size = 4 * pieces.size();
      for (std::size_t const p : pieces) {
        size += spool_.bytes(p);
      }
      specs.push_back({"bits." + plan_.tensors[t].ref->info.name, io::Dtype::u8, {size}});
    }
    io::SafetensorsLayout const layout(specs, {{undo_key, undo_json(record)}}, path_.string());
    output_.emplace(path_, options_, layout.file_size());
    output_->write_at(0, layout.header());
    auto const place = [&](std::size_t spec) {
      return layout.data_begin() + layout.tensors()[layout.position(spec)].begin;
    };
    for (std::size_t i = 0; i < whole.size(); ++i) {
      output_->write_at(place(i), whole[i]);
    }
    std::size_t spec = whole.size();
    for (auto const& [t, pieces] : touched) {
      std::vector<std::byte> table;
      std::uint64_t at = place(spec) + 4 * pieces.size();
      for (std::size_t const p : pieces) {
        std::uint64_t const size = spool_.bytes(p);
        for (unsigned b = 0; b < 4; ++b) {
          table.push_back(static_cast<std::byte>(size >> (8 * b) & 0xffU));
        }
        spool_.write_to(*output_, p, at);
        at += size;
      }
      output_->write_at(place(spec++), table);
    }
    output_->prepare(layout.header());
  }

  /// The steps of OutputFile::commit() that follow.
  io::OutputFile& output() { return *output_; }

private:
  static constexpr std::uint64_t most_spooled = std::uint64_t{64} << 20;

  std::vector<std::vector<std::byte>> prefixes() const {
    std::vector<std::vector<std::byte>> out;
    auto const read = [&](io::InputFile const& file, std::uint64_t size) {
      file.read_exact(0, out.emplace_back(static_cast<std::size_t>(size)));
    };
    for (io::SafetensorsFile const& file : plan_.base->files()) {
      read(file.file(), file.header().data_begin);
    }
    if (plan_.base->is_sharded()) {
      io::InputFile const index(io::resolve_checkpoint_path(plan_.base->path()));
      read(index, index.size());
    }
    return out;
  }

  std::filesystem::path path_;
  io::OutputOptions options_;
  FusePlan const& plan_;
  std::vector<Piece> const& pieces_;
  merging::SparseSpool spool_;
  std::optional<io::OutputFile> output_;
};

}  // namespace dashi::checkpoints
