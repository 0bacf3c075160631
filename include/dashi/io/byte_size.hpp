// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>

namespace dashi::io {

/// Bytes written by a person: `4096`, `500MB`, `2GB`, `1.5GiB`. Units, in any case: B; KB, MB, GB,
/// TB (powers of 1000, as the Hugging Face libraries read them); KiB, MiB, GiB, TiB (powers of
/// 1024). A bare `2G` is refused because tools disagree on it. Fractions count exactly: a value
/// that is not a whole number of bytes, or that needs more than 63 bits, gives nullopt, as does
/// anything else.
inline std::optional<std::uint64_t> parse_byte_size(std::string_view text) {
  struct Unit {
    std::string_view name;
    std::uint64_t bytes;
  };
  static constexpr std::array<Unit, 10> units{{{"", 1},
                                               {"B", 1},
                                               {"KB", 1'000},
                                               {"MB", 1'000'000},
                                               {"GB", 1'000'000'000},
                                               {"TB", 1'000'000'000'000},
                                               {"KIB", std::uint64_t{1} << 10},
                                               {"MIB", std::uint64_t{1} << 20},
                                               {"GIB", std::uint64_t{1} << 30},
                                               {"TIB", std::uint64_t{1} << 40}}};
  constexpr std::uint64_t limit = std::numeric_limits<std::int64_t>::max();
  auto const is_digit = [&](std::size_t i) {
    return i < text.size() && text[i] >= '0' && text[i] <= '9';
  };

  std::uint64_t digits = 0;  // the number without its point
  std::uint64_t scale = 1;   // ten to the places behind the point
  bool fraction = false;
  std::size_t at = 0;
  for (;; ++at) {
    if (!fraction && at > 0 && at < text.size() && text[at] == '.' && is_digit(at + 1)) {
      fraction = true;
      continue;
    }
    if (!is_digit(at)) {
      break;
    }
    auto const digit = static_cast<std::uint64_t>(text[at] - '0');
    if (digits > (limit - digit) / 10 || (fraction && scale > limit / 10)) {
      return std::nullopt;
    }
    digits = digits * 10 + digit;
    scale *= fraction ? 10 : 1;
  }
  std::string unit(text.substr(at));
  for (char& c : unit) {
    c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  for (Unit const& candidate : units) {
    if (at > 0 && candidate.name == unit) {
      std::uint64_t const common = std::gcd(candidate.bytes, scale);
      std::uint64_t const multiplier = candidate.bytes / common;
      std::uint64_t const divisor = scale / common;
      if (digits % divisor != 0 || digits / divisor > limit / multiplier) {
        return std::nullopt;
      }
      return digits / divisor * multiplier;
    }
  }
  return std::nullopt;
}

/// For people: `999 B`, `1.50 GB`; decimal units, three significant digits.
inline std::string format_bytes(std::uint64_t bytes) {
  static constexpr std::array<char const*, 7> names{"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; unit + 1 < names.size() && value >= (unit == 0 ? 1000.0 : 999.5); ++unit) {
    value /= 1000;
  }
  int const places = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  std::array<char, 32> out{};
  std::snprintf(out.data(), out.size(), "%.*f %s", places, value, names[unit]);
  return out.data();
}

}  // namespace dashi::io
