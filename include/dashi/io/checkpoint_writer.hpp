// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/io/safetensors_layout.hpp>
#include <dashi/io/safetensors_writer.hpp>
#include <dashi/io/shard_plan.hpp>
#include <dashi/io/sharded_writer.hpp>
#include <dashi/io/single_file_writer.hpp>
#include <dashi/io/tensor_spec.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::io {

/// Where and how a checkpoint is written.
struct CheckpointOutput {
  OutputOptions file{};
  std::optional<std::uint64_t> largest_shard{};  ///< bytes of tensor data; one file when absent
};

/// Writes a checkpoint as one file or as shards; its users need not know which.
///
/// One file `path`, or, if the tensors do not fit one shard, shards and index beside it, named
/// after it; the one file beside an index that `path` names is single_file_path(path). With force
/// either replaces the other. Tensors are named by their place in the list given to the
/// constructor; shards are filled in that order. Every shard carries the same metadata.
class CheckpointWriter {
public:
  CheckpointWriter(std::filesystem::path const& path, std::vector<TensorSpec> specs,
                   std::map<std::string, std::string> const& metadata,
                   CheckpointOutput const& output)
      : places_(specs.size()) {
    std::string const file = path.string();
    std::vector<std::uint64_t> sizes;
    sizes.reserve(specs.size());
    for (TensorSpec const& spec : specs) {
      sizes.push_back(tensor_bytes(spec, file));
    }
    constexpr std::uint64_t unlimited = ~std::uint64_t{0};
    auto const shards = split_into_shards(sizes, output.largest_shard.value_or(unlimited));
    std::vector<SafetensorsLayout> layouts;
    layouts.reserve(shards.size());
    for (std::size_t s = 0; s < shards.size(); ++s) {
      std::vector<TensorSpec> part;
      part.reserve(shards[s].size());
      for (std::size_t const i : shards[s]) {
        part.push_back(std::move(specs[i]));
      }
      layouts.emplace_back(std::move(part), metadata, file);
      for (std::size_t k = 0; k < shards[s].size(); ++k) {
        places_[shards[s][k]] = {s, layouts[s].position(k)};
      }
    }
    if (shards.size() == 1) {
      single_.emplace(single_file_path(path), std::move(layouts.front()), output.file);
    } else {
      sharded_.emplace(path, std::move(layouts), output.file);
    }
  }

  std::size_t shards() const noexcept { return sharded_ ? sharded_->shards() : 1; }
  /// What to open to read it again: the file or the index.
  std::filesystem::path const& path() const noexcept {
    return sharded_ ? sharded_->index_path() : single_->path();
  }

  /// Writes bytes of the `tensor`-th spec from `byte_offset` of the tensor on; each byte once,
  /// thread-safe.
  void write(std::size_t tensor, std::uint64_t byte_offset, std::span<std::byte const> bytes) {
    DASHI_EXPECTS(tensor < places_.size(), "no such tensor");
    file(places_[tensor].shard).write(places_[tensor].tensor, byte_offset, bytes);
  }

  /// See SafetensorsWriter; of every shard.
  void replace_metadata(std::map<std::string, std::string> const& metadata) {
    for (std::size_t s = 0; s < shards(); ++s) {
      file(s).replace_metadata(metadata);
    }
  }

  void commit() {
    if (sharded_) {
      sharded_->commit();
    } else {
      single_->commit();
    }
  }

private:
  struct Place {
    std::size_t shard = 0;
    std::size_t tensor = 0;  ///< index into that shard's layout().tensors()
  };

  SafetensorsWriter& file(std::size_t shard) {
    return sharded_ ? sharded_->shard(shard) : single_->file();
  }

  std::vector<Place> places_;
  std::optional<SingleFileWriter> single_;
  std::optional<ShardedWriter> sharded_;
};

}  // namespace dashi::io
