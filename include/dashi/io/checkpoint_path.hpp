// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/listing.hpp>

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace dashi::io {

/// "model.safetensors.index.json", "model.safetensors.index.fp16.json".
inline bool is_index_name(std::string_view name) {
  return name.ends_with(".json") && name.find(".safetensors.index.") != std::string_view::npos;
}

/// Names in a directory that may be read for checkpoints, sorted.
inline std::vector<std::string> names_in(std::filesystem::path const& directory) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entries(directory, error);
  while (!error && entries != std::filesystem::directory_iterator()) {
    names.push_back(entries->path().filename().string());
    entries.increment(error);
  }
  if (error) {
    throw IoError(IoStage::input, error.value(),
                  {.code = "cannot-open",
                   .file = directory.string(),
                   .place = {},
                   .found = "cannot list the directory",
                   .expected = {},
                   .advice = "check the path and its permissions"});
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// The file to open for a checkpoint path: the path itself, or, of a directory, the one index or
/// the one safetensors file in it. An index comes first, since its shards lie beside it.
inline std::filesystem::path resolve_checkpoint_path(std::filesystem::path const& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) {
    return path;
  }
  std::vector<std::string> indices;
  std::vector<std::string> files;
  for (std::string& name : names_in(path)) {
    if (is_index_name(name)) {
      indices.push_back(std::move(name));
    } else if (name.ends_with(".safetensors") && name.front() != '.') {
      files.push_back(std::move(name));
    }
  }
  std::vector<std::string> const& candidates = indices.empty() ? files : indices;
  if (candidates.size() == 1) {
    return path / candidates.front();
  }
  throw IoError(
      IoStage::input, 0,
      {.code = candidates.empty() ? "no-checkpoint" : "which-checkpoint",
       .file = path.string(),
       .place = {},
       .found = candidates.empty() ? "is a directory without a checkpoint"
                                   : "is a directory with " + std::to_string(candidates.size()) +
                                         (indices.empty() ? " safetensors files: " : " indices: ") +
                                         listing(candidates),
       .expected = "one *.safetensors file or one *.safetensors.index.json",
       .advice = "give the path of the file itself"});
}

}  // namespace dashi::io
