// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cli {

/// A part of a configuration file, with the line where it begins, from 1.
struct YamlNode {
  enum class Kind : unsigned char { nothing, scalar, list, map };
  struct Entry;

  Kind kind = Kind::nothing;
  int line = 0;
  std::string text{};             ///< of a scalar
  bool quoted = false;            ///< "true" in quotes is a text
  std::vector<YamlNode> items{};  ///< of a list
  std::vector<Entry> entries{};   ///< of a map, in the order of the file

  YamlNode const* find(std::string_view key) const;
};

struct YamlNode::Entry {
  std::string key;
  int line = 0;
  YamlNode value;
};

/// "a text", "a list", ... as messages call it.
std::string kind_name(YamlNode const& node);

/// Reads the part of YAML that a configuration needs: one document of maps, lists and scalars, at
/// most 1 MiB and 32 deep. Aliases, anchors, tags, merge keys and duplicate keys are refused.
/// Throws ConfigurationError with the line.
YamlNode parse_yaml(std::string const& file, std::string const& text);

/// The same for what a file holds. Throws IoError.
YamlNode read_yaml(std::filesystem::path const& file);

/// One line of text that differs when the content does; comments, quotes and order of keys do not
/// count. `without`: keys of the outermost map that are left out.
std::string canonical_text(YamlNode const& node, std::vector<std::string_view> const& without = {});

}  // namespace cli
