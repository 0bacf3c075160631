// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/checkpoint_path.hpp>
#include <dashi/io/directory_handle.hpp>
#include <dashi/io/input_file.hpp>
#include <dashi/io/json_cursor.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/read_options.hpp>
#include <dashi/io/safetensors_file.hpp>
#include <dashi/io/shard_name.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::io {

/// The index of a sharded checkpoint, *.safetensors.index.json:
/// `{"metadata": {"total_size": bytes}, "weight_map": {tensor: shard}}`.
///
/// A shard is the bare name of a file in the index's own directory; anything else is a FormatError,
/// and so are duplicate keys at any level.
class ShardIndex {
public:
  struct Entry {
    std::string tensor;
    std::size_t shard = 0;  ///< index into shards()
  };

  explicit ShardIndex(std::filesystem::path const& path, ReadOptions const& options = {})
      : directory_(path.has_parent_path() ? path.parent_path() : std::filesystem::path(".")),
        file_(directory_.descriptor(), path.filename(), path, 0) {
    if (file_.size() > largest_header_bytes) {
      fail("index-too-large", {}, "a file of " + std::to_string(file_.size()) + " bytes",
           "at most " + std::to_string(largest_header_bytes) + " bytes (this reader's limit)", {});
    }
    auto const size = static_cast<std::size_t>(file_.size());
    auto const bytes = std::make_unique_for_overwrite<std::byte[]>(size);
    file_.read_exact(0, {bytes.get(), size});
    std::string const name = path.string();
    JsonCursor cursor({reinterpret_cast<char const*>(bytes.get()), size}, name);
    parse(cursor, options);
  }

  InputFile const& file() const noexcept { return file_; }
  std::vector<std::string> const& shards() const noexcept {
    return shards_;
  }                                                                        ///< sorted bare names
  std::vector<Entry> const& entries() const noexcept { return entries_; }  ///< sorted by tensor
  std::optional<std::uint64_t> total_size() const noexcept { return total_size_; }
  std::vector<std::string> const& warnings() const noexcept { return warnings_; }

  Entry const* find(std::string_view tensor) const {
    auto const at = std::lower_bound(
        entries_.begin(), entries_.end(), tensor,
        [](Entry const& entry, std::string_view wanted) { return entry.tensor < wanted; });
    return at != entries_.end() && at->tensor == tensor ? &*at : nullptr;
  }

  /// Opens every shard relative to the index's directory. Shards that are missing are one
  /// FormatError.
  std::vector<SafetensorsFile> open_shards(ReadOptions const& options) const {
    std::vector<std::string> missing;
    for (std::string const& shard : shards_) {
      if (!directory_.contains(shard)) {
        missing.push_back(in_quotes(shard));
      }
    }
    if (!missing.empty()) {
      fail("shard-missing", "weight_map",
           std::to_string(missing.size()) + (missing.size() == 1 ? " shard" : " shards") +
               " not in the directory: " + listing(missing),
           "every shard beside its index", "copy or download the missing files");
    }
    std::vector<SafetensorsFile> files;
    files.reserve(shards_.size());
    for (std::string const& shard : shards_) {
      files.emplace_back(directory_.open_inside(shard, options.allow_links), options);
    }
    return files;
  }

  /// Names of files beside the index that belong to it by name but are not listed: numbered shards
  /// of a stem in use, and, for a checkpoint given as a whole directory, every safetensors file.
  std::vector<std::string> unlisted_shards(bool whole_directory) const {
    std::string const index_name = file_.path().filename().string();
    std::set<std::string_view> stems{
        std::string_view(index_name).substr(0, index_name.find(".safetensors.index."))};
    for (std::string const& shard : shards_) {
      stems.insert(shard_stem(shard));
    }
    stems.erase(std::string_view());
    std::vector<std::string> unlisted;
    for (std::string& name : names_in(directory_.path())) {
      bool const ours =
          (whole_directory && name.ends_with(".safetensors") && name.front() != '.') ||
          stems.count(shard_stem(name)) != 0;
      if (ours && !std::binary_search(shards_.begin(), shards_.end(), name)) {
        unlisted.push_back(std::move(name));
      }
    }
    return unlisted;
  }

  [[noreturn]] void fail(char const* code, std::string place, std::string found,
                         std::string expected, std::string advice) const {
    throw FormatError({.code = code,
                       .file = file_.path().string(),
                       .place = std::move(place),
                       .found = std::move(found),
                       .expected = std::move(expected),
                       .advice = std::move(advice)});
  }

private:
  void parse(JsonCursor& cursor, ReadOptions const& options) {
    std::string key;
    std::set<std::string> seen;
    cursor.begin_object();
    while (cursor.next_member(key)) {
      if (!seen.insert(key).second) {
        cursor.fail("duplicate-key", "key " + in_quotes(key) + " twice", "each key once");
      }
      if (key == "metadata") {
        parse_metadata(cursor);
      } else if (key == "weight_map") {
        parse_weight_map(cursor, options);
      } else if (options.lenient) {
        warnings_.push_back("unknown key " + in_quotes(key) + " was ignored");
        cursor.skip_value();
      } else {
        cursor.fail("unknown-field", "unknown key " + in_quotes(key),
                    "only metadata and weight_map", "read with --lenient to ignore it");
      }
    }
    cursor.finish();
    if (seen.count("weight_map") == 0) {
      fail("missing-field", {}, "no 'weight_map'", "{\"metadata\": ..., \"weight_map\": ...}",
           "this is no index of safetensors shards");
    }
    if (entries_.empty()) {
      fail("empty-index", "weight_map", "no tensors", "at least one tensor and its shard",
           "this index describes no checkpoint");
    }
    if (!total_size_) {
      warnings_.push_back("the index declares no total_size");
    }
  }

  /// total_size is read; the other values, which tools add freely, are checked and passed over.
  void parse_metadata(JsonCursor& cursor) {
    std::string key;
    std::set<std::string> seen;
    cursor.begin_object();
    while (cursor.next_member(key)) {
      if (!seen.insert(key).second) {
        cursor.fail("duplicate-key", "metadata key " + in_quotes(key) + " twice", "each key once");
      }
      if (key == "total_size") {
        total_size_ = cursor.read_integer(largest_number);
      } else {
        cursor.skip_value();
      }
    }
  }

  void parse_weight_map(JsonCursor& cursor, ReadOptions const& options) {
    std::map<std::string, std::size_t> shard_numbers;
    std::vector<std::size_t const*> numbers;
    Entry entry;
    std::string shard;
    cursor.begin_object();
    while (cursor.next_member(entry.tensor)) {
      if (entries_.size() == options.max_tensors) {
        cursor.fail("too-many-tensors",
                    "more than " + std::to_string(options.max_tensors) + " tensors",
                    "at most that many (this reader's limit)", "raise the limit in ReadOptions");
      }
      cursor.set_subject("tensor", &entry.tensor);
      cursor.read_string(shard);
      if (char const* const fault = shard_name_fault(shard)) {
        cursor.fail("unsafe-shard-name", std::string(fault) + ", " + in_quotes(shard),
                    "the bare name of a file beside the index",
                    "an index must not reach other directories; do not trust it");
      }
      cursor.set_subject("", nullptr);
      auto const at = shard_numbers.emplace(shard, shard_numbers.size()).first;
      entry.shard = at->second;
      entries_.push_back(std::move(entry));
      entry = {};
    }
    std::vector<std::size_t> rank_of(shard_numbers.size());
    for (auto const& [name, number] : shard_numbers) {
      rank_of[number] = shards_.size();
      shards_.push_back(name);
    }
    for (Entry& e : entries_) {
      e.shard = rank_of[e.shard];
    }
    std::stable_sort(entries_.begin(), entries_.end(),
                     [](Entry const& a, Entry const& b) { return a.tensor < b.tensor; });
    refuse_duplicates();
  }

  void refuse_duplicates() const {
    std::vector<std::string> twice;
    for (std::size_t i = 1; i < entries_.size(); ++i) {
      bool const repeats = entries_[i].tensor == entries_[i - 1].tensor;
      if (repeats && (i == 1 || entries_[i].tensor != entries_[i - 2].tensor)) {
        twice.push_back(in_quotes(entries_[i].tensor));
      }
    }
    if (!twice.empty()) {
      fail("duplicate-key", "weight_map",
           std::to_string(twice.size()) + (twice.size() == 1 ? " tensor" : " tensors") +
               " more than once: " + listing(twice),
           "each tensor once", "readers disagree on which one counts; do not use this index");
    }
  }

  DirectoryHandle directory_;
  InputFile file_;
  std::vector<std::string> shards_;
  std::vector<Entry> entries_;
  std::optional<std::uint64_t> total_size_;
  std::vector<std::string> warnings_;
};

}  // namespace dashi::io
