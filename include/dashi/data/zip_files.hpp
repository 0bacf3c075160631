// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/data/image_files.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/zip_archive.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::data {

/// Image files of a zip archive; nothing is unpacked to disk. An archive in which everything lies
/// in one folder stands for that folder, unless `kept_folders` (class_depth) leading folders of an
/// image would then be missing.
class ZipFiles final : public ImageFiles {
public:
  ZipFiles(std::filesystem::path path, std::size_t kept_folders) : path_(std::move(path)) {
    auto archive = std::make_unique<io::ZipArchive>(path_);
    entries_ = archive->entries();
    idle_.push_back(std::move(archive));
    std::set<std::string> folders;
    for (io::ZipArchive::Entry const& entry : entries_) {
      if (!hidden(entry.name)) {
        add_folders(entry.name, folders);
        if (has_image_name(entry.name)) {
          files_.push_back({entry.name, entry.size, entry.index});
        }
      }
    }
    folders_.assign(folders.begin(), folders.end());
    leave_out_common_folder(kept_folders);
    std::sort(files_.begin(), files_.end(),
              [](File const& a, File const& b) { return a.name < b.name; });
  }

  std::string path(File const& file) const override {
    return path_.string() + ":" + entries_[static_cast<std::size_t>(file.index)].name;
  }
  std::string path() const override { return path_.string(); }

  std::vector<std::byte> read(File const& file) const override {
    std::unique_ptr<io::ZipArchive> archive = take();
    std::vector<std::byte> bytes =
        archive->read(entries_[static_cast<std::size_t>(file.index)], largest_image_file);
    std::lock_guard const lock(mutex_);
    idle_.push_back(std::move(archive));
    return bytes;
  }

private:
  static bool hidden(std::string_view name) {
    while (!name.empty()) {
      std::size_t const end = std::min(name.find('/'), name.size());
      if (is_hidden_name(name.substr(0, end))) {
        return true;
      }
      name.remove_prefix(std::min(end + 1, name.size()));
    }
    return false;
  }

  static void add_folders(std::string const& name, std::set<std::string>& folders) {
    for (std::size_t at = name.find('/'); at != std::string::npos; at = name.find('/', at + 1)) {
      folders.insert(name.substr(0, at));
    }
  }

  void leave_out_common_folder(std::size_t kept_folders) {
    if (files_.empty()) {
      return;
    }
    std::string const first = files_.front().name.substr(0, files_.front().name.find('/') + 1);
    auto const lies_below = [&](File const& file) {
      auto const depth =
          static_cast<std::size_t>(std::count(file.name.begin(), file.name.end(), '/'));
      return !first.empty() && file.name.starts_with(first) && depth > kept_folders;
    };
    bool const one_top =
        std::all_of(folders_.begin(), folders_.end(),
                    [&](std::string const& name) { return (name + "/").starts_with(first); });
    if (!one_top || !std::all_of(files_.begin(), files_.end(), lies_below)) {
      return;
    }
    for (File& file : files_) {
      file.name.erase(0, first.size());
    }
    std::erase_if(folders_, [&](std::string const& name) { return name.size() < first.size(); });
    for (std::string& folder : folders_) {
      folder.erase(0, first.size());
    }
  }

  /// An archive that no other thread uses.
  std::unique_ptr<io::ZipArchive> take() const {
    {
      std::lock_guard const lock(mutex_);
      if (!idle_.empty()) {
        auto archive = std::move(idle_.back());
        idle_.pop_back();
        return archive;
      }
    }
    return std::make_unique<io::ZipArchive>(path_);
  }

  std::filesystem::path path_;
  std::vector<io::ZipArchive::Entry> entries_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<io::ZipArchive>> idle_;
};

}  // namespace dashi::data
