// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace dashi::io {

/// 'name' for messages, cut after about 160 bytes at a character boundary. Not escaped: Diagnosis
/// is escaped when it is printed.
inline std::string in_quotes(std::string_view name) {
  constexpr std::size_t limit = 160;
  if (name.size() <= limit) {
    return "'" + std::string(name) + "'";
  }
  std::size_t cut = limit;
  while (cut > limit - 4 && (static_cast<unsigned char>(name[cut]) & 0xc0U) == 0x80U) {
    --cut;
  }
  return "'" + std::string(name.substr(0, cut)) + "...' (" + std::to_string(name.size()) +
         " bytes)";
}

/// "a, b, c and 7 more": the first 20 items, then a count.
inline std::string listing(std::vector<std::string> const& items) {
  constexpr std::size_t limit = 20;
  std::string out;
  for (std::size_t i = 0; i < items.size() && i < limit; ++i) {
    out += (i == 0 ? "" : ", ") + items[i];
  }
  if (items.size() > limit) {
    out += " and " + std::to_string(items.size() - limit) + " more";
  }
  return out;
}

}  // namespace dashi::io
