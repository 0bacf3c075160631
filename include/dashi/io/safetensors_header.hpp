// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/io/read_options.hpp>
#include <dashi/io/safetensors_contents.hpp>
#include <dashi/io/safetensors_layout_check.hpp>
#include <dashi/io/safetensors_length.hpp>
#include <dashi/io/safetensors_parser.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace dashi::io {

/// Reads the header of a safetensors file, the 8 + N bytes of `prefix`; more may follow in `prefix`
/// and is not looked at. `file_size` is the whole file's.
///
/// Rejects with FormatError everything that the format forbids, and more where readers of the wild
/// disagree: duplicate keys at any level (compared after unescaping), unknown or missing fields,
/// numbers that are not plain decimals up to 2^48, more than 8 extents, white space before '{',
/// data that is not covered exactly once. Memory stays proportional to N.
inline SafetensorsHeader parse_safetensors_header(std::string_view file_name,
                                                  std::span<std::byte const> prefix,
                                                  std::uint64_t file_size,
                                                  ReadOptions const& options = {}) {
  std::uint64_t const length = safetensors_header_length(
      file_name, prefix.first(std::min<std::size_t>(prefix.size(), 512)), file_size);
  DASHI_EXPECTS(prefix.size() >= 8 + length, "the whole header is needed");
  std::string_view const text(reinterpret_cast<char const*>(prefix.data()) + 8,
                              static_cast<std::size_t>(length));
  SafetensorsHeader header;
  header.data_begin = 8 + length;
  detail::HeaderParser(text, file_name, options).parse_into(header);
  detail::check_layout(file_name, file_size, header);
  return header;
}

}  // namespace dashi::io
