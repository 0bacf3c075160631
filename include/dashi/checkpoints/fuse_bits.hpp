// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

namespace dashi::checkpoints {

/// What must be known of an element's bits, beside those after a change, to have those before: the
/// difference of their places in the order of the numbers, with its sign in the lowest bit. Small
/// changes give small numbers, equal bits zero; any two patterns work, NaN included.
template <class Bits>
struct ChangedBits {
  static constexpr Bits sign =
      static_cast<Bits>(Bits{1} << (std::numeric_limits<Bits>::digits - 1));

  static constexpr Bits place(Bits bits) noexcept {
    return static_cast<Bits>((bits & sign) != 0 ? ~bits : bits | sign);
  }
  static constexpr Bits bits_at(Bits place) noexcept {
    return static_cast<Bits>((place & sign) != 0 ? place ^ sign : ~place);
  }
  static constexpr Bits note(Bits before, Bits after) noexcept {
    auto const d = static_cast<Bits>(place(before) - place(after));
    return static_cast<Bits>((d & sign) != 0 ? ~static_cast<Bits>(d << 1)
                                             : static_cast<Bits>(d << 1));
  }
  static constexpr Bits before(Bits note, Bits after) noexcept {
    auto const half = static_cast<Bits>(note >> 1);
    auto const d = static_cast<Bits>((note & 1) != 0 ? ~half : half);
    return bits_at(static_cast<Bits>(place(after) + d));
  }
};

/// Elements that are packed with the same number of bits.
inline constexpr std::size_t packed_block = 32;

namespace detail {

template <class Bits>
void pack_changed(std::span<std::byte const> before, std::span<std::byte const> after,
                  std::vector<std::byte>& out) {
  std::size_t const count = before.size() / sizeof(Bits);
  for (std::size_t begin = 0; begin < count; begin += packed_block) {
    std::size_t const block = std::min(packed_block, count - begin);
    Bits notes[packed_block];
    Bits all = 0;
    for (std::size_t i = 0; i < block; ++i) {
      Bits was, is;
      std::memcpy(&was, before.data() + (begin + i) * sizeof(Bits), sizeof(Bits));
      std::memcpy(&is, after.data() + (begin + i) * sizeof(Bits), sizeof(Bits));
      notes[i] = ChangedBits<Bits>::note(was, is);
      all = static_cast<Bits>(all | notes[i]);
    }
    auto const width = static_cast<unsigned>(std::bit_width(all));
    out.push_back(static_cast<std::byte>(width));
    std::uint64_t low = 0;  // bits that do not fill a byte yet
    unsigned held = 0;
    for (std::size_t i = 0; i < block && width > 0; ++i) {
      std::uint64_t const note = notes[i];
      low |= note << held;
      std::uint64_t const high = held == 0 ? 0 : note >> (64 - held);
      unsigned const total = held + width;
      held = total;
      if (total >= 64) {
        for (unsigned b = 0; b < 8; ++b, low >>= 8) {
          out.push_back(static_cast<std::byte>(low & 0xffU));
        }
        low = high;
        held = total - 64;
      }
    }
    for (; held > 0; held -= std::min(held, 8U), low >>= 8) {
      out.push_back(static_cast<std::byte>(low & 0xffU));
    }
  }
}

template <class Bits>
bool unpack_changed(std::span<std::byte const> packed, std::span<std::byte> bytes) {
  std::size_t const count = bytes.size() / sizeof(Bits);
  std::size_t at = 0;
  for (std::size_t begin = 0; begin < count; begin += packed_block) {
    std::size_t const block = std::min(packed_block, count - begin);
    if (at == packed.size()) {
      return false;
    }
    auto const width = std::to_integer<unsigned>(packed[at++]);
    std::size_t const size = (block * width + 7) / 8;
    if (width > 8 * sizeof(Bits) || size > packed.size() - at) {
      return false;
    }
    for (std::size_t i = 0; i < block; ++i) {
      std::uint64_t note = 0;
      for (unsigned got = 0; got < width;) {
        std::size_t const bit = i * width + got;
        auto const part = std::to_integer<std::uint64_t>(packed[at + bit / 8]) >> (bit % 8);
        note |= part << got;
        got += static_cast<unsigned>(8 - bit % 8);
      }
      if (width < 64) {
        note &= (std::uint64_t{1} << width) - 1;
      }
      Bits is;
      std::byte* const to = bytes.data() + (begin + i) * sizeof(Bits);
      std::memcpy(&is, to, sizeof(Bits));
      Bits const was = ChangedBits<Bits>::before(static_cast<Bits>(note), is);
      std::memcpy(to, &was, sizeof(Bits));
    }
    at += size;
  }
  return at == packed.size();
}

template <class Body>
auto with_bits(std::size_t width, Body&& body) {
  switch (width) {
    case 1: return body.template operator()<std::uint8_t>();
    case 2: return body.template operator()<std::uint16_t>();
    case 4: return body.template operator()<std::uint32_t>();
    default: break;
  }
  DASHI_EXPECTS(width == 8, "elements of 1, 2, 4 or 8 bytes");
  return body.template operator()<std::uint64_t>();
}

}  // namespace detail

/// Appends what turns `after` into `before`, elements of `width` bytes: for every packed_block of
/// them a byte with the number of bits that its largest note takes, then the notes with so many
/// bits, the lowest bit first, up to a whole byte.
inline void pack_changed_bits(std::size_t width, std::span<std::byte const> before,
                              std::span<std::byte const> after, std::vector<std::byte>& out) {
  DASHI_EXPECTS(before.size() == after.size() && before.size() % width == 0, "whole elements");
  detail::with_bits(width, [&]<class Bits>() { detail::pack_changed<Bits>(before, after, out); });
}

/// Turns the bytes after a change into those before; false, with bytes in between, when `packed` is
/// not what pack_changed_bits() writes for so many.
inline bool unpack_changed_bits(std::size_t width, std::span<std::byte const> packed,
                                std::span<std::byte> bytes) {
  DASHI_EXPECTS(bytes.size() % width == 0, "whole elements");
  return detail::with_bits(
      width, [&]<class Bits>() { return detail::unpack_changed<Bits>(packed, bytes); });
}

}  // namespace dashi::checkpoints
