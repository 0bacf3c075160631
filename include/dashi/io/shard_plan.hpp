// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/checkpoint_path.hpp>
#include <dashi/io/json_text.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::io {

/// Distributes tensors of `sizes` bytes over shards of at most `largest_shard` bytes as
/// huggingface_hub does: in the given order, a shard is closed when the next tensor would exceed
/// the limit; a tensor above the limit gets a shard of its own, which comes before the one that is
/// still open. Every shard is a list of indices into `sizes`; without tensors there is one empty
/// shard.
inline std::vector<std::vector<std::size_t>> split_into_shards(std::span<std::uint64_t const> sizes,
                                                               std::uint64_t largest_shard) {
  if (largest_shard == 0) {
    throw UsageError({.code = "bad-shard-size",
                      .file = {},
                      .place = {},
                      .found = "shards of 0 bytes",
                      .expected = "a size above 0, such as 2GB",
                      .advice = {}});
  }
  std::vector<std::vector<std::size_t>> shards;
  std::vector<std::size_t> open;
  std::uint64_t open_bytes = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] > largest_shard) {
      shards.push_back({i});
      continue;
    }
    if (sizes[i] > largest_shard - open_bytes) {
      shards.push_back(std::move(open));
      open.clear();
      open_bytes = 0;
    }
    open.push_back(i);
    open_bytes += sizes[i];
  }
  if (!open.empty() || shards.empty()) {
    shards.push_back(std::move(open));
  }
  return shards;
}

/// "model" of `model.safetensors`, and of `model.safetensors.index.json`.
inline std::string checkpoint_stem(std::filesystem::path const& path) {
  std::string stem = path.filename().string();
  for (std::string_view const end : {".index.json", ".safetensors"}) {
    if (stem.size() > end.size() && stem.ends_with(end)) {
      stem.resize(stem.size() - end.size());
    }
  }
  return stem;
}

/// `out/model.safetensors` of `out/model.safetensors.index.json`; any other path as it is.
inline std::filesystem::path single_file_path(std::filesystem::path const& output) {
  return is_index_name(output.filename().string())
             ? output.parent_path() / (checkpoint_stem(output) + ".safetensors")
             : output;
}

/// `model-00001-of-00003.safetensors`; `shard` counts from 0.
inline std::string shard_file_name(std::string_view stem, std::size_t shard, std::size_t shards) {
  auto const five = [](std::size_t value) {
    std::string const digits = std::to_string(value);
    return digits.size() < 5 ? std::string(5 - digits.size(), '0') + digits : digits;
  };
  return std::string(stem) + "-" + five(shard + 1) + "-of-" + five(shards) + ".safetensors";
}

inline std::string index_file_name(std::string_view stem) {
  return std::string(stem) + ".safetensors.index.json";
}

/// The index as the Hugging Face libraries lay it out (two spaces, sorted keys, a final newline),
/// with tensor names as raw UTF-8. `weight_map`: tensor -> shard file.
inline std::string shard_index_text(std::uint64_t total_size,
                                    std::map<std::string, std::string> const& weight_map) {
  std::string text = "{\n  \"metadata\": {\n    \"total_size\": " + std::to_string(total_size) +
                     "\n  },\n  \"weight_map\": {";
  char const* separator = "\n";
  for (auto const& [tensor, shard] : weight_map) {
    text += std::exchange(separator, ",\n");
    text += "    ";
    append_quoted(text, tensor);
    text += ": ";
    append_quoted(text, shard);
  }
  return text + "\n  }\n}\n";
}

}  // namespace dashi::io
