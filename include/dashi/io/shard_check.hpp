// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/listing.hpp>
#include <dashi/io/safetensors_file.hpp>
#include <dashi/io/shard_index.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::io {

namespace detail {

struct ShardedName {
  std::string_view name;
  std::size_t shard;
  friend bool operator<(ShardedName const& a, ShardedName const& b) {
    return a.name != b.name ? a.name < b.name : a.shard < b.shard;
  }
};

}  // namespace detail

/// Compares an index with its opened shards (files[i] is shards()[i]) and the directory. Each kind
/// of disagreement is one FormatError that lists all offenders, the first 20 by name.
inline void check_shards(ShardIndex const& index, std::vector<SafetensorsFile> const& files,
                         std::vector<std::string> unlisted, ReadOptions const& options,
                         std::vector<std::string>& warnings) {
  std::vector<std::string> const& shards = index.shards();
  auto const refuse = [&](char const* code, std::vector<std::string> const& items, char const* what,
                          char const* expected, char const* advice = nullptr) {
    if (!items.empty()) {
      index.fail(code, "weight_map",
                 std::string(what) + " (" + std::to_string(items.size()) + "): " + listing(items),
                 expected,
                 advice != nullptr ? advice
                                   : "the index does not belong to these files; fetch both again");
    }
  };
  std::vector<std::string> listed;
  for (std::string const& name : unlisted) {
    listed.push_back(in_quotes(name));
  }
  refuse("shard-not-listed", listed, "files beside the index that it does not list",
         "no other shards there",
         "remove what belongs to another checkpoint, or, if it only shares the directory, give the "
         "path of the index itself");

  std::vector<detail::ShardedName> found;
  std::uint64_t total = 0;
  for (std::size_t f = 0; f < files.size(); ++f) {
    SafetensorsHeader const& header = files[f].header();
    total += header.data_bytes();
    for (TensorInfo const& info : header.tensors) {
      found.push_back({info.name, f});
    }
  }
  std::sort(found.begin(), found.end());

  std::vector<std::string> in_two;
  std::vector<std::string> elsewhere;
  std::vector<std::string> not_in_index;
  std::size_t matched = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    auto const& [name, shard] = found[i];
    if (i > 0 && found[i - 1].name == name) {
      in_two.push_back(in_quotes(name) + " (" + in_quotes(shards[found[i - 1].shard]) + ", " +
                       in_quotes(shards[shard]) + ")");
      continue;
    }
    ShardIndex::Entry const* const entry = index.find(name);
    if (entry == nullptr) {
      not_in_index.push_back(in_quotes(name) + " (" + in_quotes(shards[shard]) + ")");
      continue;
    }
    ++matched;
    if (entry->shard != shard) {
      elsewhere.push_back(in_quotes(name) + " (in " + in_quotes(shards[shard]) + ", listed in " +
                          in_quotes(shards[entry->shard]) + ")");
    }
  }
  std::vector<std::string> absent;
  if (matched != index.entries().size()) {
    for (ShardIndex::Entry const& entry : index.entries()) {
      if (!std::binary_search(found.begin(), found.end(), detail::ShardedName{entry.tensor, 0},
                              [](auto const& a, auto const& b) { return a.name < b.name; })) {
        absent.push_back(in_quotes(entry.tensor) + " (listed in " + in_quotes(shards[entry.shard]) +
                         ")");
      }
    }
  }
  refuse("tensor-in-two-shards", in_two, "tensors in two shards", "each tensor in one shard");
  refuse("tensor-in-wrong-shard", elsewhere, "tensors in another shard than listed",
         "each tensor where the index says");
  refuse("tensor-missing", absent, "listed tensors in no shard",
         "each tensor where the index says");
  refuse("tensor-not-in-index", not_in_index, "tensors that the index does not list",
         "every tensor of the shards");

  if (index.total_size() && *index.total_size() != total) {
    std::string const what = "total_size " + std::to_string(*index.total_size());
    std::string const sum = std::to_string(total) + ", the sum of the tensors' bytes";
    if (!options.lenient) {
      index.fail("wrong-total-size", "metadata", what, sum,
                 "a shard may be of another version; fetch it again, or read with --lenient");
    }
    warnings.push_back("the index declares " + what + ", but the sum of the tensors' bytes is " +
                       std::to_string(total));
  }
  warnings.insert(warnings.end(), index.warnings().begin(), index.warnings().end());
}

}  // namespace dashi::io
