// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::io {

/// The header of a NumPy array file.
struct NpyHeader {
  std::string descr;                 ///< element type as stored: "<f4", "|u1"
  std::vector<std::uint64_t> shape;  ///< C order
  std::size_t data_begin = 0;        ///< file offset of the first element
  std::size_t element_bytes = 0;

  std::uint64_t elements() const {
    std::uint64_t count = 1;
    for (std::uint64_t const extent : shape) {
      count *= extent;
    }
    return count;
  }
};

namespace detail {

[[noreturn]] inline void fail_npy(std::string const& file, std::string found,
                                  std::string expected) {
  throw FormatError({.code = "bad-npy",
                     .file = file,
                     .place = "header",
                     .found = std::move(found),
                     .expected = std::move(expected),
                     .advice = "write the array with numpy.save"});
}

/// The text behind `'key':` in the dictionary of a header, up to the end of the value.
inline std::string_view npy_value(std::string const& file, std::string_view dictionary,
                                  std::string_view key) {
  std::size_t at = dictionary.find("'" + std::string(key) + "'");
  at = at == std::string_view::npos ? at : dictionary.find(':', at);
  if (at == std::string_view::npos) {
    fail_npy(file, "no " + std::string(key), "descr, fortran_order and shape");
  }
  std::string_view rest = dictionary.substr(at + 1);
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  char const end = rest.starts_with('(') ? ')' : rest.starts_with('\'') ? '\'' : ',';
  std::size_t const length = rest.find(end, end == ',' ? 0 : 1);
  if (length == std::string_view::npos) {
    fail_npy(file, "the value of " + std::string(key) + " does not end", "a whole header");
  }
  return end == ',' ? rest.substr(0, length) : rest.substr(1, length - 1);
}

inline std::vector<std::uint64_t> npy_shape(std::string const& file, std::string_view text) {
  std::vector<std::uint64_t> shape;
  std::uint64_t total = 1;
  bool in_number = false;
  for (char const c : text) {
    if (c >= '0' && c <= '9') {
      if (!in_number) {
        shape.push_back(0);
      }
      in_number = true;
      shape.back() = shape.back() * 10 + static_cast<std::uint64_t>(c - '0');
      if (shape.back() > std::uint64_t{1} << 40) {
        fail_npy(file, "an extent above 2^40", "smaller extents");
      }
    } else if (c == ',' || c == ' ') {
      in_number = false;
    } else {
      fail_npy(file, "the shape (" + std::string(text) + ")", "numbers");
    }
  }
  for (std::uint64_t const extent : shape) {
    if (extent != 0 && total > (std::uint64_t{1} << 48) / extent) {
      fail_npy(file, "an array of more than 2^48 elements", "a smaller array");
    }
    total *= extent;
  }
  return shape;
}

}  // namespace detail

/// Whether the bytes begin as an .npy file does.
inline bool is_npy(std::span<std::byte const> bytes) {
  return bytes.size() >= 6 && std::memcmp(bytes.data(), "\x93NUMPY", 6) == 0;
}

/// Checks the header of an .npy file (versions 1 to 3) whose whole bytes are given: C order,
/// little-endian numbers, as many bytes as the shape says. Throws FormatError.
inline NpyHeader parse_npy(std::string const& file, std::span<std::byte const> bytes) {
  if (!is_npy(bytes) || bytes.size() < 12) {
    detail::fail_npy(file, "does not begin as an .npy file", "a NumPy array");
  }
  bool const old = bytes[6] == std::byte{1};
  std::size_t const begin = old ? 10 : 12;
  std::size_t length = 0;
  for (std::size_t i = begin; i-- > 8;) {
    length = length << 8 | std::to_integer<std::size_t>(bytes[i]);
  }
  if (bytes[6] == std::byte{0} || bytes[6] > std::byte{3} || length > bytes.size() - begin) {
    detail::fail_npy(file,
                     "version " + std::to_string(std::to_integer<int>(bytes[6])) +
                         " with a header of " + std::to_string(length) + " bytes",
                     "version 1, 2 or 3 and a header within the file");
  }
  std::string_view const dictionary(reinterpret_cast<char const*>(bytes.data()) + begin, length);
  NpyHeader header;
  header.data_begin = begin + length;
  header.descr = detail::npy_value(file, dictionary, "descr");
  header.shape = detail::npy_shape(file, detail::npy_value(file, dictionary, "shape"));
  if (detail::npy_value(file, dictionary, "fortran_order") != "False") {
    detail::fail_npy(file, "an array in Fortran order", "C order (numpy.ascontiguousarray)");
  }
  char const last = header.descr.size() == 3 ? header.descr[2] : '\0';
  if (header.descr.size() != 3 || last < '1' || last > '8' ||
      (header.descr[0] != '<' && header.descr[0] != '|')) {
    detail::fail_npy(file, "elements of type '" + header.descr + "'",
                     "little-endian numbers, such as '<f4' or '|u1'");
  }
  header.element_bytes = static_cast<std::size_t>(last - '0');
  if (header.elements() * header.element_bytes != bytes.size() - header.data_begin) {
    detail::fail_npy(
        file, "data of " + std::to_string(bytes.size() - header.data_begin) + " bytes",
        std::to_string(header.elements() * header.element_bytes) + " as the shape says");
  }
  return header;
}

}  // namespace dashi::io
