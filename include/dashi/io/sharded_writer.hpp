// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/io/displaced_files.hpp>
#include <dashi/io/output_directory.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/io/safetensors_layout.hpp>
#include <dashi/io/safetensors_writer.hpp>
#include <dashi/io/shard_name.hpp>
#include <dashi/io/shard_plan.hpp>

#include <fcntl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::io {

/// Writes `<stem>-00001-of-00003.safetensors` ... and, last, `<stem>.safetensors.index.json`.
///
/// No directory can be changed as a whole, so the index decides: without it there is no set.
/// commit() makes all files durable under no name; with force it then hides an old index and the
/// old shards of the stem that the new set does not replace; gives the shards their names, then the
/// index. A handled error takes everything back and the old set is there again. A killed process
/// leaves the old set, the new set, or no index (never an index whose shards are of two sets); what
/// it hid is removed by the next writer of the same set.
///
/// Without force an index or any shard of the stem in the directory is an IoError create (73), also
/// one of another count: readers refuse shards that no index lists. So is, even with force, a file
/// among options.inputs that would be replaced or removed.
class ShardedWriter {
public:
  /// `path` names directory and stem: `out/model.safetensors` or
  /// `out/model.safetensors.index.json`. `layouts`: one per shard, no tensor name in two of them.
  ShardedWriter(std::filesystem::path const& path, std::vector<SafetensorsLayout> layouts,
                OutputOptions const& options)
      : stem_(checkpoint_stem(path)),
        index_path_(path.parent_path() / index_file_name(stem_)),
        directory_(index_path_),
        options_(options) {
    tidy_shards();
    find_old_set(layouts.size());
    std::map<std::string, std::string> weight_map;
    std::uint64_t total_size = 0;
    for (std::size_t i = 0; i < layouts.size(); ++i) {
      std::string const name = shard_file_name(stem_, i, layouts.size());
      for (TensorInfo const& tensor : layouts[i].tensors()) {
        if (!weight_map.emplace(tensor.name, name).second) {
          detail::refuse_tensor(path.string(), tensor.name, "the name is used twice",
                                "each name once", "rename one of the two");
        }
      }
      total_size += layouts[i].data_bytes();
      shards_.emplace_back(path.parent_path() / name, std::move(layouts[i]), options);
    }
    index_text_ = shard_index_text(total_size, weight_map);
    index_.emplace(index_path_, options, index_text_.size());
    index_->write_at(0, std::as_bytes(std::span(index_text_)));
  }

  std::size_t shards() const noexcept { return shards_.size(); }
  SafetensorsWriter& shard(std::size_t i) {
    DASHI_EXPECTS(i < shards_.size(), "no such shard");
    return shards_[i];
  }
  std::filesystem::path const& index_path() const noexcept { return index_path_; }

  /// Makes the whole set durable and visible, or throws and leaves what was there.
  void commit() {
    for (SafetensorsWriter& shard : shards_) {
      shard.prepare();
    }
    index_->prepare(std::as_bytes(std::span(index_text_)));
    DisplacedFiles displaced(directory_);
    std::size_t published = 0;
    try {
      for (std::size_t i = 0; i < old_files_.size(); ++i) {
        displaced.displace(old_files_[i]);
        if (i == 0) {  // an old index, if there is one: gone before any of its shards
          directory_.sync();
        }
      }
      for (; published < shards_.size(); ++published) {
        shards_[published].output().publish();
      }
      directory_.sync();
      index_->publish();
      directory_.sync();
    } catch (...) {
      index_->retract();
      while (published > 0) {
        shards_[--published].output().retract();
      }
      throw;  // displaced goes out of scope and puts the old files back
    }
    index_->finish();
    for (SafetensorsWriter& shard : shards_) {
      shard.output().finish();
    }
    displaced.remove();
  }

private:
  /// Removes what killed writers left of shards, also of sets of another count.
  void tidy_shards() const {
    for (std::string const& name : directory_.entries()) {
      std::size_t const end = name.rfind(".dashi-");
      if (name.starts_with('.') && end != std::string::npos) {
        std::string const shard = name.substr(1, end - 1);
        if (shard_stem(shard) == stem_) {
          OutputDirectory(index_path_.parent_path() / shard).tidy();
        }
      }
    }
  }

  /// The old index and old shards whose names the new set does not take; checks that they may go.
  void find_old_set(std::size_t count) {
    std::string const index_name = index_file_name(stem_);
    for (std::string& name : directory_.entries()) {
      bool const is_index = name == index_name;
      if (!is_index && shard_stem(name) != stem_) {
        continue;
      }
      auto const s = directory_.find(name, 0);
      if (s && std::any_of(options_.inputs.begin(), options_.inputs.end(), [&](auto const& input) {
            return same_file(input, file_identity(*s));
          })) {
        directory_.fail(0, name + " is one of the inputs and would be replaced",
                        "choose another directory or name");
      }
      if (!options_.force) {
        directory_.fail(EEXIST, "the set has a file already: " + name,
                        "choose another directory or name, or give --force");
      }
      bool replaced = false;
      for (std::size_t i = 0; i < count && !replaced; ++i) {
        replaced = name == shard_file_name(stem_, i, count);
      }
      if (is_index) {
        old_files_.insert(old_files_.begin(), std::move(name));
      } else if (!replaced) {
        old_files_.push_back(std::move(name));
      }
    }
  }

  std::string stem_;
  std::filesystem::path index_path_;
  OutputDirectory directory_;
  OutputOptions options_;
  std::vector<std::string> old_files_;
  std::deque<SafetensorsWriter> shards_;
  std::string index_text_;
  std::optional<OutputFile> index_;
};

}  // namespace dashi::io
