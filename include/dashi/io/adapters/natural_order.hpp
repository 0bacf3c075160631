// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstddef>
#include <string_view>

namespace dashi::io::detail {

/// Bytewise, but runs of digits by their numbers: "blocks.9" before "blocks.10".
inline bool natural_less(std::string_view a, std::string_view b) {
  auto const digit = [](char c) { return c >= '0' && c <= '9'; };
  auto const number = [&](std::string_view text, std::size_t& at) {
    while (at < text.size() && text[at] == '0') {
      ++at;
    }
    std::size_t const begin = at;
    while (at < text.size() && digit(text[at])) {
      ++at;
    }
    return text.substr(begin, at - begin);
  };
  std::size_t i = 0;
  std::size_t k = 0;
  while (i < a.size() && k < b.size()) {
    if (digit(a[i]) && digit(b[k])) {
      std::string_view const x = number(a, i);
      std::string_view const y = number(b, k);
      if (x != y) {
        return x.size() != y.size() ? x.size() < y.size() : x < y;
      }
    } else if (a[i] != b[k]) {
      return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[k]);
    } else {
      ++i;
      ++k;
    }
  }
  return a.size() - i != b.size() - k ? a.size() - i < b.size() - k : a < b;
}

}  // namespace dashi::io::detail
