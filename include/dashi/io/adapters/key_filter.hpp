// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/utf8.hpp>

#include <algorithm>
#include <cstddef>
#include <regex>
#include <string>
#include <vector>

namespace dashi::io::detail {

/// Names in which one of some regular expressions (ECMAScript) is found.
class KeyFilter {
public:
  /// UsageError for one that is none.
  explicit KeyFilter(std::vector<std::string> const& patterns) {
    for (std::string const& pattern : patterns) {
      try {
        if (first_invalid_utf8(pattern) == std::string::npos) {
          expressions_.emplace_back(pattern, std::regex::ECMAScript | std::regex::optimize);
          continue;
        }
      } catch (std::regex_error const&) {
      }
      throw UsageError({.code = "bad-regex",
                        .file = {},
                        .place = "ignore " + in_quotes(pattern),
                        .found = "no regular expression",
                        .expected = "one as ECMAScript has them",
                        .advice = "write \\. for a dot and \\[ for a bracket"});
    }
  }

  bool matches(std::string const& name) const {
    constexpr std::size_t longest = 4096;  // std::regex recurses once a character
    return name.size() <= longest &&
           std::any_of(expressions_.begin(), expressions_.end(),
                       [&](std::regex const& e) { return std::regex_search(name, e); });
  }

private:
  std::vector<std::regex> expressions_;
};

}  // namespace dashi::io::detail
