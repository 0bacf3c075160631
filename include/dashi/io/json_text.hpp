// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/utf8.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace dashi::io {

/// True if a control character occurs: C0 and DEL (U+0000-001F, U+007F) or C1 (U+0080-009F as
/// UTF-8).
inline bool has_control_character(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto const c = static_cast<unsigned char>(text[i]);
    auto const next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    if (c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next <= 0x9f)) {
      return true;
    }
  }
  return false;
}

/// Appends `text` as a JSON string in the one form dashi writes: quote, backslash and C0 controls
/// escaped (short forms where JSON has them, else \u00xx in lower case), all other UTF-8 raw. A
/// byte that is not part of well-formed UTF-8 becomes U+FFFD, so that the result is JSON whatever a
/// path holds; who must not lose bytes checks first_invalid_utf8() before.
inline void append_quoted(std::string& out, std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  std::size_t invalid = first_invalid_utf8(text);
  out.push_back('"');
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i == invalid) {
      out += "\xef\xbf\xbd";
      std::size_t const next = first_invalid_utf8(text.substr(i + 1));
      invalid = next == std::string_view::npos ? next : next + i + 1;
      continue;
    }
    char const c = text[i];
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out.push_back(digits[static_cast<unsigned char>(c) >> 4]);
          out.push_back(digits[static_cast<unsigned char>(c) & 15]);
        } else {
          out.push_back(c);
        }
    }
  }
  out.push_back('"');
}

}  // namespace dashi::io
