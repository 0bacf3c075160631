// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/commit_section.hpp>
#include <dashi/io/directory_lock.hpp>
#include <dashi/io/displaced_files.hpp>
#include <dashi/io/output_directory.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/io/safetensors_layout.hpp>
#include <dashi/io/safetensors_writer.hpp>
#include <dashi/io/set_files.hpp>
#include <dashi/io/shard_plan.hpp>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dashi::io {

/// Writes `<stem>.safetensors` in place of what is there of the same checkpoint, also a set of
/// shards with an index `<stem>.safetensors.index.json`: readers of the directory would go on
/// reading that. The set goes as a whole and only with force, else it is an IoError create (73).
///
/// The new file appears before the index goes: a process killed in between leaves both, and readers
/// of the directory the old set; or, later, the new file and shards without an index.
class SingleFileWriter {
public:
  SingleFileWriter(std::filesystem::path const& path, SafetensorsLayout layout,
                   OutputOptions const& options)
      : directory_(path), options_(options) {
    DirectoryLock const lock(directory_);  // what a living writer has hidden is not tidied up
    old_set();
    file_.emplace(path, std::move(layout), options);
  }

  SafetensorsWriter& file() noexcept { return *file_; }
  std::filesystem::path const& path() const noexcept { return file_->path(); }

  /// Makes the file durable and visible, or throws and leaves what was there.
  void commit() {
    file_->prepare();
    DirectoryLock const lock(directory_);
    std::vector<std::string> const old_files = old_set();
    CommitSection const section;
    DisplacedFiles displaced(directory_);
    file_->output().publish();
    try {
      directory_.sync();
      for (std::size_t i = 0; i < old_files.size(); ++i) {
        displaced.displace(old_files[i]);
        if (i == 0 || i + 1 == old_files.size()) {  // the index: gone before any of its shards
          directory_.sync();
        }
      }
    } catch (...) {
      file_->output().retract();
      throw;  // displaced goes out of scope and puts the old files back
    }
    file_->output().finish();
    displaced.remove();
  }

private:
  /// The index and shards that the file replaces; checks that they may go.
  std::vector<std::string> old_set() const {
    std::string const stem = checkpoint_stem(directory_.output());
    if (directory_.name() != stem + ".safetensors") {
      return {};
    }
    std::vector<std::string> files = set_files(directory_, stem);
    if (files.empty() || files.front() != index_file_name(stem)) {
      return {};
    }
    for (std::string const& name : files) {
      expect_replaceable(directory_, name, options_);
    }
    return files;
  }

  OutputDirectory directory_;
  OutputOptions options_;
  std::optional<SafetensorsWriter> file_;
};

}  // namespace dashi::io
