// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/data/idx.hpp>
#include <dashi/io/npy.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::data {

/// Labels of an array: an IDX file of rank 1 or an .npy file of integers of rank 1 whose whole
/// bytes are given. Throws FormatError.
inline std::vector<std::int64_t> parse_labels(std::string const& file,
                                              std::span<std::byte const> bytes) {
  std::vector<std::int64_t> labels;
  auto const fail = [&](std::string found) {
    throw FormatError({.code = "bad-labels",
                       .file = file,
                       .place = {},
                       .found = std::move(found),
                       .expected = "labels: a vector of integers (.npy, or IDX of bytes)",
                       .advice = {}});
  };
  if (is_idx(bytes)) {
    IdxContents const idx = parse_idx(file, bytes);
    if (idx.shape.size() != 1) {
      fail("an array of rank " + std::to_string(idx.shape.size()));
    }
    for (std::byte const b : idx.data) {
      labels.push_back(std::to_integer<std::int64_t>(b));
    }
    return labels;
  }
  io::NpyHeader const header = io::parse_npy(file, bytes);
  char const kind = header.descr[1];
  if (header.shape.size() != 1 || (kind != 'i' && kind != 'u')) {
    fail("elements of type '" + header.descr + "', rank " + std::to_string(header.shape.size()));
  }
  std::size_t const width = header.element_bytes;
  for (std::size_t at = header.data_begin; at < bytes.size(); at += width) {
    std::uint64_t value = 0;
    for (std::size_t i = width; i-- > 0;) {
      value = value << 8 | std::to_integer<std::uint64_t>(bytes[at + i]);
    }
    if (kind == 'i' && width < 8 && (value >> (8 * width - 1) & 1U) != 0) {
      value |= ~std::uint64_t{0} << (8 * width);  // the sign
    }
    labels.push_back(static_cast<std::int64_t>(value));
  }
  return labels;
}

}  // namespace dashi::data
