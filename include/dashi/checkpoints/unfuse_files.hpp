// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/fuse_undo_file.hpp>
#include <dashi/core/error.hpp>
#include <dashi/io/commit_section.hpp>
#include <dashi/io/directory_lock.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/output_directory.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/io/set_files.hpp>
#include <dashi/io/shard_plan.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace dashi::checkpoints {

/// The files of a base that comes back: prefixes and index as they were, tensors from write(). They
/// appear together, the index last.
class UnfuseFiles {
public:
  /// UsageError for a path that cannot be the base's: see unfuse(). IoError as OutputFile, and for
  /// a sharded checkpoint of the stem of a single file, which readers would take for it.
  UnfuseFiles(FuseUndoFile const& undo, std::filesystem::path const& path,
              io::OutputOptions const& options)
      : undo_(undo), directory_(path) {
    std::string const& index = undo.record().index;
    if (!index.empty() && path.filename() != index) {
      throw UsageError({.code = "name-of-index",
                        .file = {},
                        .place = "output " + io::in_quotes(path.string()),
                        .found = "another name than the base's index had",
                        .expected = index + ", since it names its shards",
                        .advice = "name it so in any folder"});
    }
    if (index.empty()) {
      expect_no_set(path);
    }
    for (UndoneFile const& file : undo.files()) {
      outputs_.emplace_back(index.empty() ? path : path.parent_path() / file.name, options,
                            file.size());
      outputs_.back().write_at(0, file.prefix);
    }
    if (!index.empty()) {
      outputs_.emplace_back(path, options, undo.index().size());
      outputs_.back().write_at(0, undo.index());
    }
  }

  /// Thread-safe.
  void write(std::size_t file, std::uint64_t offset, std::span<std::byte const> bytes) {
    outputs_[file].write_at(offset, bytes);
  }

  /// Makes all files durable and visible, or none.
  void commit() {
    for (std::size_t f = 0; f < outputs_.size(); ++f) {
      outputs_[f].prepare(f < undo_.files().size() ? undo_.files()[f].prefix : undo_.index());
    }
    io::DirectoryLock const lock(directory_);
    io::CommitSection const section;
    std::size_t published = 0;
    try {
      for (; published < outputs_.size(); ++published) {
        outputs_[published].publish();
        if (published + 2 >= outputs_.size()) {  // shards before their index
          directory_.sync();
        }
      }
    } catch (...) {
      for (published = std::min(published + 1, outputs_.size()); published > 0;) {
        outputs_[--published].retract();
      }
      throw;
    }
    for (io::OutputFile& output : outputs_) {
      output.finish();
    }
  }

private:
  void expect_no_set(std::filesystem::path const& path) const {
    std::string const stem = io::checkpoint_stem(path);
    std::vector<std::string> const files = io::set_files(directory_, stem);
    if (!files.empty() && directory_.name() == stem + ".safetensors") {
      directory_.fail(0, "beside the output is " + files.front() + ", which readers would take",
                      "choose another name");
    }
  }

  FuseUndoFile const& undo_;
  io::OutputDirectory directory_;
  std::deque<io::OutputFile> outputs_;
};

}  // namespace dashi::checkpoints
