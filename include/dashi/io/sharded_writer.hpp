// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/io/commit_section.hpp>
#include <dashi/io/directory_lock.hpp>
#include <dashi/io/displaced_files.hpp>
#include <dashi/io/output_directory.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/io/safetensors_layout.hpp>
#include <dashi/io/safetensors_writer.hpp>
#include <dashi/io/set_files.hpp>
#include <dashi/io/shard_name.hpp>
#include <dashi/io/shard_plan.hpp>

#include <fcntl.h>

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
/// it hid is removed by the next writer of the same set. Writers of sets in one directory wait for
/// each other's commit(): the last one's set is there.
///
/// A single file `<stem>.safetensors` is the same checkpoint and goes when the index is there.
///
/// Without force that file, an index or any shard of the stem in the directory is an IoError create
/// (73), also one of another count: readers refuse shards that no index lists. So is, even with
/// force, a file among options.inputs that would be replaced or removed.
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
    DirectoryLock const lock(directory_);  // what a living writer has hidden is not tidied up
    tidy_shards();
    old_set(layouts.size());
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
    DirectoryLock const lock(directory_);
    std::vector<std::string> const old_files = old_set(shards_.size());
    CommitSection const section;
    DisplacedFiles displaced(directory_);
    std::size_t published = 0;
    try {
      for (std::size_t i = 0; i < old_files.size(); ++i) {
        displaced.displace(old_files[i]);
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
      if (options_.force && directory_.find(single_file_name(), AT_SYMLINK_NOFOLLOW)) {
        displaced.displace(single_file_name());  // the index comes before it for readers
        directory_.sync();
      }
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
  std::vector<std::string> old_set(std::size_t count) const {
    std::vector<std::string> old_files;
    std::string const single = single_file_name();
    if (directory_.find(single, AT_SYMLINK_NOFOLLOW)) {
      expect_replaceable(directory_, single, options_);
    }
    for (std::string& name : set_files(directory_, stem_)) {
      expect_replaceable(directory_, name, options_);
      bool replaced = false;
      for (std::size_t i = 0; i < count && !replaced; ++i) {
        replaced = name == shard_file_name(stem_, i, count);
      }
      if (!replaced) {
        old_files.push_back(std::move(name));
      }
    }
    return old_files;
  }

  std::string single_file_name() const { return stem_ + ".safetensors"; }

  std::string stem_;
  std::filesystem::path index_path_;
  OutputDirectory directory_;
  OutputOptions options_;
  std::deque<SafetensorsWriter> shards_;
  std::string index_text_;
  std::optional<OutputFile> index_;
};

}  // namespace dashi::io
