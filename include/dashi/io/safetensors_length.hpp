// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/io/foreign_format.hpp>
#include <dashi/io/read_options.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace dashi::io {

namespace detail {

inline std::uint64_t little_endian_u64(std::span<std::byte const> bytes) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 8; i-- > 0;) {
    value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  }
  return value;
}

/// Whether the first bytes could be those of a safetensors file: a length below 2^32, then '{' or,
/// out of form, white space. Some lengths look like the magic numbers of other formats.
inline bool starts_plausibly(std::span<std::byte const> first) noexcept {
  if (first.size() <= 8) {
    return true;
  }
  char const c = static_cast<char>(first[8]);
  bool const text = c == '{' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
  return text && little_endian_u64(first) >> 32 == 0;
}

/// Throws when the first bytes are those of another known format.
inline void refuse_foreign(std::string_view file_name, std::span<std::byte const> first) {
  if (starts_plausibly(first)) {
    return;
  }
  if (std::optional<ForeignFormat> foreign = foreign_format(first)) {
    throw FormatError({.code = "foreign-format",
                       .file = std::string(file_name),
                       .place = {},
                       .found = "is " + foreign->kind,
                       .expected = "a safetensors file",
                       .advice = std::move(foreign->advice)});
  }
}

}  // namespace detail

/// Length N of the header of a file that begins with `first_bytes`, checked against the file's size
/// and the format's limit, so that it is safe to allocate. Pass the first 512 bytes, or all of a
/// smaller file: with them a file of another format is named in the FormatError.
inline std::uint64_t safetensors_header_length(std::string_view file_name,
                                               std::span<std::byte const> first_bytes,
                                               std::uint64_t file_size) {
  DASHI_EXPECTS(first_bytes.size() >= std::min<std::uint64_t>(file_size, 8),
                "the first 8 bytes of the file are needed");
  detail::refuse_foreign(file_name, first_bytes);
  std::string const size_text = std::to_string(file_size);
  Diagnosis d{
      .code = "too-short",
      .file = std::string(file_name),
      .place = "byte 0",
      .found = "a file of " + size_text + " bytes",
      .expected = "at least 8 bytes, the length of the header",
      .advice = "the file is truncated or is no safetensors file; copy or download it again"};
  if (file_size < 8) {
    throw FormatError(std::move(d));
  }
  std::uint64_t const length = detail::little_endian_u64(first_bytes);
  std::string const length_text = std::to_string(length);
  if (length == 0) {
    d.code = "header-empty";
    d.found = "header length 0";
    d.expected = "at least 2, the length of '{}'";
    throw FormatError(std::move(d));
  }
  if (length > largest_header_bytes) {
    d.code = "header-too-large";
    d.found = "header length " + length_text;
    d.expected = "at most " + std::to_string(largest_header_bytes) + " bytes, the format's limit";
    d.advice = "this is no safetensors file, or its first 8 bytes are damaged";
    throw FormatError(std::move(d));
  }
  if (length > file_size - 8) {
    d.code = "header-past-end";
    d.found = "a file of " + size_text + " bytes";
    d.expected =
        "at least " + std::to_string(8 + length) + " bytes for the header length " + length_text;
    throw FormatError(std::move(d));
  }
  return length;
}

}  // namespace dashi::io
