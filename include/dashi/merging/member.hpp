// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/checkpoint.hpp>
#include <dashi/merging/decimal_weight.hpp>
#include <dashi/merging/key_map.hpp>
#include <dashi/merging/weight_rule.hpp>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dashi::merging {

/// One of the checkpoints that are merged.
struct MergeMember {
  std::string name;  ///< for provenance; often the file's name
  std::shared_ptr<io::Checkpoint const> checkpoint{};
  DecimalWeight weight{};
  std::vector<WeightRule> rules{};  ///< the first that fits a tensor, before `weight`
  KeyMap keys{};
  /// SHA-256 that the content must have (io::member_digest, of their names).
  std::optional<std::string> digest{};
};

/// Opens the checkpoint; the last part of its path is the name. Throws IoError and FormatError.
inline MergeMember open_member(std::filesystem::path const& path, DecimalWeight weight = {},
                               io::ReadOptions const& options = {}) {
  std::filesystem::path const last = path.has_filename() ? path : path.parent_path();
  return {.name = last.filename().string(),
          .checkpoint = std::make_shared<io::Checkpoint const>(path, options),
          .weight = weight};
}

}  // namespace dashi::merging
