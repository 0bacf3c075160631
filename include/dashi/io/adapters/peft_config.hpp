// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_error.hpp>
#include <dashi/io/json_cursor.hpp>
#include <dashi/io/listing.hpp>

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace dashi::io {

/// What PEFT's adapter_config.json says of ranks and scales; also the JSON that diffusers keeps in
/// the header under lora_adapter_metadata.
struct PeftConfig {
  using Patterns = std::vector<std::pair<std::string, double>>;  ///< in file order

  std::string type;  ///< "LORA", "LOKR"; empty where nothing says
  std::optional<double> r;
  std::optional<double> alpha;
  bool rslora = false;
  Patterns rank_pattern;
  Patterns alpha_pattern;
  std::vector<std::string> refused;  ///< settings under which the tensors mean something else

  bool tells_scale() const noexcept { return r.has_value() && alpha.has_value(); }
  double rank_of(std::string_view path) const { return of(path, rank_pattern, r.value_or(0)); }
  double alpha_of(std::string_view path) const {
    return of(path, alpha_pattern, alpha.value_or(0));
  }
  /// alpha / r, or alpha / sqrt(r) with rsLoRA.
  double scale_of(std::string_view path) const {
    double const rank = rank_of(path);
    return alpha_of(path) / (rslora ? std::sqrt(rank) : rank);
  }

  /// Whether PEFT applies a pattern's value to the module: the pattern is a regular expression for
  /// the end of the path, from a dot on. FormatError, without a file, for one that is none.
  static bool matches(std::string const& pattern, std::string_view path);

private:
  static double of(std::string_view path, Patterns const& patterns, double otherwise) {
    for (auto const& [pattern, value] : patterns) {
      if (matches(pattern, path)) {
        return value;
      }
    }
    return otherwise;
  }
};

inline bool PeftConfig::matches(std::string const& pattern, std::string_view path) {
  auto const plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  bool simple = true;
  for (char const c : pattern) {
    simple = simple && plain(c);
  }
  if (simple) {
    std::size_t const begin = path.size() - pattern.size();
    if (pattern.size() > path.size() || (begin > 0 && path[begin - 1] != '.')) {
      return false;
    }
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      if (pattern[i] != '.' && pattern[i] != path[begin + i]) {
        return false;
      }
    }
    return true;
  }
  constexpr std::size_t longest = 1024;  // std::regex recurses once a character
  try {
    if (pattern.size() <= longest && path.size() <= longest) {
      return std::regex_match(path.begin(), path.end(),
                              std::regex("(.*\\.)?(" + pattern + ")", std::regex::ECMAScript));
    }
  } catch (std::regex_error const&) {
  }
  detail::refuse_adapter("bad-adapter-config", {}, "pattern " + in_quotes(pattern),
                         "no regular expression that can be used", "one of at most 1024 bytes");
}

namespace detail {

class PeftConfigReader {
public:
  PeftConfigReader(std::string_view text, std::string const& file, std::string const& prefix)
      : text_(text), cursor_(text, file, 0, JsonCursor::deepest), prefix_(prefix) {}

  PeftConfig read() {
    std::set<std::string> keys;
    std::string key;
    cursor_.begin_object();
    while (cursor_.next_member(key)) {
      if (!keys.insert(key).second) {
        cursor_.fail("duplicate-key", "key " + in_quotes(key) + " twice", "each key once");
      }
      if (key.starts_with(prefix_)) {
        read_member(key.substr(prefix_.size()));
      } else {
        cursor_.skip_value();
      }
    }
    cursor_.finish();
    return std::move(config_);
  }

private:
  void read_member(std::string const& key) {
    if (key == "peft_type") {
      cursor_.read_string(config_.type);
    } else if (key == "r") {
      config_.r = number(key);
    } else if (key == "lora_alpha" || key == "alpha") {
      config_.alpha = number(key);
    } else if (key == "use_rslora") {
      config_.rslora = flag(key);
    } else if (key == "rank_pattern") {
      config_.rank_pattern = patterns(key);
    } else if (key == "alpha_pattern") {
      config_.alpha_pattern = patterns(key);
    } else {
      refuse_if_set(key);
    }
  }

  /// Settings that change what the same tensors do; null, false and {} leave them out.
  void refuse_if_set(std::string const& key) {
    static std::set<std::string> const changing{
        "fan_in_fan_out", "layer_replication",      "use_qalora",   "lora_bias",
        "use_bdlora",     "target_parameters",      "arrow_config", "alora_invocation_tokens",
        "velora_config",  "trainable_token_indices"};
    std::size_t const begin = cursor_.position();
    char const first = cursor_.peek();
    std::string text;
    if (first == '"') {
      cursor_.read_string(text);
    } else {
      cursor_.skip_value();
      text = std::string(text_.substr(begin, cursor_.position() - begin));
      text.erase(0, text.find_first_not_of(" \t\r\n"));
    }
    bool const unset = text == "null" || text == "false" || text == "{}" || text == "[]";
    if (changing.count(key) != 0 && !unset) {
      config_.refused.push_back(key + " = " + text.substr(0, 40));
    }
    if (key == "init_lora_weights" && first == '"') {  // the base was changed at the start
      for (std::string_view const start : {"pissa", "olora", "corda", "loftq", "lora_ga"}) {
        if (text.starts_with(start)) {
          config_.refused.push_back(key + " = " + text);
        }
      }
    }
  }

  double number(std::string const& key) {
    char const first = cursor_.peek();
    std::size_t const begin = cursor_.position();
    cursor_.skip_value();
    double value = 0;
    std::string_view const digits = text_.substr(begin, cursor_.position() - begin);
    auto const result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if ((first != '-' && (first < '0' || first > '9')) || result.ec != std::errc()) {
      cursor_.fail("bad-adapter-config", "key " + in_quotes(key) + " is no number", "a number");
    }
    return value;
  }

  bool flag(std::string const& key) {
    char const first = cursor_.peek();
    cursor_.skip_value();
    if (first != 't' && first != 'f' && first != 'n') {
      cursor_.fail("bad-adapter-config", "key " + in_quotes(key) + " is no boolean",
                   "true or false");
    }
    return first == 't';
  }

  PeftConfig::Patterns patterns(std::string const& key) {
    PeftConfig::Patterns out;
    if (cursor_.peek() == 'n') {
      cursor_.skip_value();
      return out;
    }
    std::string pattern;
    cursor_.begin_object();
    while (cursor_.next_member(pattern)) {
      for (auto const& [other, value] : out) {
        if (other == pattern) {
          cursor_.fail("duplicate-key", "pattern " + in_quotes(pattern) + " twice in " + key,
                       "each once");
        }
      }
      double const value = number(pattern);
      out.emplace_back(pattern, value);
    }
    return out;
  }

  std::string_view text_;
  JsonCursor cursor_;
  std::string prefix_;
  PeftConfig config_;
};

}  // namespace detail

/// `prefix`: of the keys that count, as diffusers has one for each model ("unet."). FormatError for
/// text that is no JSON object, or one with other types than PEFT's.
inline PeftConfig parse_peft_config(std::string_view text, std::string const& file,
                                    std::string const& prefix = {}) {
  return detail::PeftConfigReader(text, file, prefix).read();
}

}  // namespace dashi::io
