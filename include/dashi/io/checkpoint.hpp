// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/io/checkpoint_path.hpp>
#include <dashi/io/safetensors_file.hpp>
#include <dashi/io/shard_check.hpp>
#include <dashi/io/shard_index.hpp>
#include <dashi/io/tensor_ref.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::io {

/// A checkpoint of one safetensors file, or of shards with an index; which of them makes no
/// difference to its users. Holds headers, no tensor data. Reads are thread-safe.
class Checkpoint {
public:
  /// `path`: a safetensors file, an index (*.safetensors.index.json), or a directory that holds
  /// exactly one of either. Throws IoError and FormatError.
  explicit Checkpoint(std::filesystem::path const& path, ReadOptions const& options = {})
      : path_(path) {
    std::filesystem::path const chosen = resolve_checkpoint_path(path);
    if (is_index_name(chosen.filename().string())) {
      bool const whole_directory = chosen != path;
      index_.emplace(chosen, options);
      std::vector<std::string> unlisted = index_->unlisted_shards(whole_directory);
      files_ = index_->open_shards(options);
      check_shards(*index_, files_, std::move(unlisted), options, warnings_);
    } else {
      files_.emplace_back(chosen, options);
    }
    collect();
  }
  static Checkpoint open(std::filesystem::path const& path, ReadOptions const& options = {}) {
    return Checkpoint(path, options);
  }

  std::filesystem::path const& path() const noexcept { return path_; }  ///< as given
  std::vector<TensorRef> const& tensors() const noexcept {
    return tensors_;
  }  ///< by name, bytewise
  std::vector<SafetensorsFile> const& files() const noexcept { return files_; }
  bool is_sharded() const noexcept { return index_.has_value(); }
  std::uint64_t bytes() const noexcept { return bytes_; }  ///< of all tensors
  std::vector<std::string> const& warnings() const noexcept { return warnings_; }

  /// Of a single file its `__metadata__`; of shards the pairs that are equal in all of them.
  std::map<std::string, std::string> const& metadata() const noexcept { return metadata_; }

  /// The tensor of that name, or null. Logarithmic.
  TensorRef const* find(std::string_view name) const {
    auto const at = std::lower_bound(
        tensors_.begin(), tensors_.end(), name,
        [](TensorRef const& ref, std::string_view wanted) { return ref.info.name < wanted; });
    return at != tensors_.end() && at->info.name == name ? &*at : nullptr;
  }

  /// Fills `out` from byte `byte_offset` of the tensor. Thread-safe.
  void read(TensorRef const& ref, std::uint64_t byte_offset, std::span<std::byte> out) const {
    DASHI_EXPECTS(ref.file < files_.size(), "the tensor must be one of this checkpoint");
    files_[ref.file].read(ref.info, byte_offset, out);
  }

  /// Throws IoError (transfer) when any of the files changed since it was opened.
  void expect_unchanged() const {
    for (SafetensorsFile const& file : files_) {
      file.file().expect_unchanged();
    }
    if (index_) {
      index_->file().expect_unchanged();
    }
  }

private:
  void collect() {
    for (std::size_t f = 0; f < files_.size(); ++f) {
      SafetensorsHeader const& header = files_[f].header();
      for (std::uint32_t const i : header.by_name) {
        tensors_.push_back({.info = header.tensors[i], .file = f});
      }
      bytes_ += header.data_bytes();
      for (std::string const& warning : header.warnings) {
        warnings_.push_back(files_[f].file().path().string() + ": " + warning);
      }
      if (f == 0) {
        metadata_ = header.metadata;
      } else {
        std::erase_if(metadata_, [&](auto const& pair) {
          auto const other = header.metadata.find(pair.first);
          return other == header.metadata.end() || other->second != pair.second;
        });
      }
    }
    if (files_.size() > 1) {
      std::sort(tensors_.begin(), tensors_.end(),
                [](TensorRef const& a, TensorRef const& b) { return a.info.name < b.info.name; });
    }
  }

  std::filesystem::path path_;
  std::optional<ShardIndex> index_;
  std::vector<SafetensorsFile> files_;
  std::vector<TensorRef> tensors_;
  std::map<std::string, std::string> metadata_;
  std::vector<std::string> warnings_;
  std::uint64_t bytes_ = 0;
};

}  // namespace dashi::io
