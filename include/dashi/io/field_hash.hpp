// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace dashi::io {

/// Hash of a record of fields, written so that two different records never give the same bytes:
/// numbers as eight bytes, least significant first, texts after their length.
template <class Hash>
class FieldHash {
public:
  /// What kind of record it is, as it is.
  explicit FieldHash(std::string_view kind) { hash_.update(kind); }

  void number(std::uint64_t value) {
    std::array<std::byte, 8> bytes{};
    for (std::byte& b : bytes) {
      b = static_cast<std::byte>(value & 0xffU);
      value >>= 8;
    }
    hash_.update(bytes);
  }
  void text(std::string_view text) {
    number(text.size());
    hash_.update(text);
  }
  /// Bytes whose count the fields before imply.
  void bytes(std::span<std::byte const> bytes) { hash_.update(bytes); }

  typename Hash::Digest finish() { return hash_.finish(); }

private:
  Hash hash_;
};

}  // namespace dashi::io
