// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace dashi::io {

/// Offset of the first byte that is not part of well-formed UTF-8 (overlong forms, surrogates and
/// points above U+10FFFF are not), or npos. Unicode 15, table 3-7.
inline std::size_t first_invalid_utf8(std::string_view text) noexcept {
  std::size_t i = 0;
  auto const byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
  auto const within = [&](std::size_t k, unsigned low, unsigned high) {
    return k < text.size() && byte(k) >= low && byte(k) <= high;
  };
  while (i < text.size()) {
    if (text.size() - i >= 8) {
      std::uint64_t block = 0;
      std::memcpy(&block, text.data() + i, 8);
      if ((block & 0x8080808080808080U) == 0) {
        i += 8;
        continue;
      }
    }
    unsigned const c = byte(i);
    if (c < 0x80) {
      i += 1;
    } else if (c >= 0xc2 && c <= 0xdf && within(i + 1, 0x80, 0xbf)) {
      i += 2;
    } else if (c >= 0xe0 && c <= 0xef &&
               within(i + 1, c == 0xe0 ? 0xa0 : 0x80, c == 0xed ? 0x9f : 0xbf) &&
               within(i + 2, 0x80, 0xbf)) {
      i += 3;
    } else if (c >= 0xf0 && c <= 0xf4 &&
               within(i + 1, c == 0xf0 ? 0x90 : 0x80, c == 0xf4 ? 0x8f : 0xbf) &&
               within(i + 2, 0x80, 0xbf) && within(i + 3, 0x80, 0xbf)) {
      i += 4;
    } else {
      return i;
    }
  }
  return std::string_view::npos;
}

/// Appends the UTF-8 form of a code point that is not a surrogate and not above U+10FFFF.
inline void append_utf8(std::string& out, std::uint32_t point) {
  auto const put = [&](std::uint32_t value) { out.push_back(static_cast<char>(value)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xc0U | point >> 6);
    put(0x80U | (point & 0x3fU));
  } else if (point < 0x10000) {
    put(0xe0U | point >> 12);
    put(0x80U | (point >> 6 & 0x3fU));
    put(0x80U | (point & 0x3fU));
  } else {
    put(0xf0U | point >> 18);
    put(0x80U | (point >> 12 & 0x3fU));
    put(0x80U | (point >> 6 & 0x3fU));
    put(0x80U | (point & 0x3fU));
  }
}

}  // namespace dashi::io
