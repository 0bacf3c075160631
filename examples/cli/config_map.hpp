// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "yaml_tree.hpp"

#include <dashi/core/tensor.hpp>

#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace cli {

/// Reads the keys of one map of a configuration file and remembers which there are, so that
/// finish() can refuse all others. Everything throws ConfigurationError with the line.
class ConfigMap {
public:
  static constexpr dashi::Index any = std::numeric_limits<dashi::Index>::max();

  /// node: null for a map that is not there: every key has its default.
  ConfigMap(std::string const& file, std::string path, YamlNode const* node);

  std::string const& file() const noexcept { return *file_; }
  bool has(std::string_view key);
  std::string text(std::string_view key, std::string fallback = {});
  dashi::Index integer(std::string_view key, dashi::Index fallback, dashi::Index least = 0,
                       dashi::Index most = any);
  /// A number in [least, most], or in (least, most] where `open`.
  double number(std::string_view key, double fallback, double least, double most,
                bool open = false);
  bool flag(std::string_view key, bool fallback);
  /// One of the values.
  std::string choice(std::string_view key, std::string const& fallback,
                     std::vector<std::string> const& values);
  std::vector<dashi::Index> integers(std::string_view key);
  std::vector<double> numbers(std::string_view key, std::size_t count,
                              std::vector<double> fallback);
  std::vector<std::string> texts(std::string_view key);
  ConfigMap map(std::string_view key);
  /// A list of maps.
  std::vector<ConfigMap> maps(std::string_view key);
  /// A map, or a word that stands for {<word_key>: word}.
  bool is_word(std::string_view key);
  bool is_list(std::string_view key);
  /// A list that begins with a text or a number.
  bool lists_words(std::string_view key);

  /// Refuses keys that were not asked for, with the nearest that were.
  void finish() const;
  /// For values that make no sense together; in the line of the key, or of the map without it.
  [[noreturn]] void refuse(std::string_view key, std::string found, std::string expected,
                           std::string advice = {}) const;

private:
  YamlNode const* find(std::string_view key);
  YamlNode const* scalar(std::string_view key, std::string const& expected);
  std::string name(std::string_view key) const;
  [[noreturn]] void refuse_node(std::string_view key, YamlNode const& node,
                                std::string expected) const;
  double number_in(std::string_view key, YamlNode const& node, double least, double most,
                   bool open) const;
  dashi::Index integer_in(std::string_view key, YamlNode const& node, dashi::Index least,
                          dashi::Index most) const;
  YamlNode const* list(std::string_view key, std::string const& expected);

  std::string const* file_;
  std::string path_;
  YamlNode const* node_;
  std::vector<std::string> known_;
};

}  // namespace cli
