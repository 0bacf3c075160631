// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace dashi::data {

/// An IDX file, the format of the MNIST files: unsigned bytes, C order.
struct IdxContents {
  std::vector<std::uint64_t> shape;
  std::span<std::byte const> data;
};

/// Whether the bytes begin as an IDX file of unsigned bytes does.
inline bool is_idx(std::span<std::byte const> bytes) {
  return bytes.size() >= 8 && bytes[0] == std::byte{0} && bytes[1] == std::byte{0} &&
         bytes[2] == std::byte{8} && bytes[3] >= std::byte{1} && bytes[3] <= std::byte{4};
}

/// Checks the header of an IDX file whose whole bytes are given: two zeros, 8 for unsigned bytes,
/// the rank (1 to 4), extents as big-endian 32-bit numbers (Y. LeCun, the MNIST database). Throws
/// FormatError.
inline IdxContents parse_idx(std::string const& file, std::span<std::byte const> bytes) {
  auto const fail = [&](std::string found, std::string expected) {
    throw FormatError({.code = "bad-idx",
                       .file = file,
                       .place = {},
                       .found = std::move(found),
                       .expected = std::move(expected),
                       .advice = "copy or download it again"});
  };
  if (!is_idx(bytes)) {
    fail("does not begin as an IDX file", "an IDX file of unsigned bytes, rank 1 to 4");
  }
  std::size_t const rank = std::to_integer<std::size_t>(bytes[3]);
  if (bytes.size() < 4 + 4 * rank) {
    fail("ends in its header", "a whole IDX file");
  }
  IdxContents contents;
  std::uint64_t total = 1;
  for (std::size_t d = 0; d < rank; ++d) {
    std::uint64_t extent = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      extent = extent << 8 | std::to_integer<std::uint64_t>(bytes[4 + 4 * d + i]);
    }
    contents.shape.push_back(extent);
    if (extent != 0 && total > (std::uint64_t{1} << 48) / extent) {
      fail("claims more than 2^48 bytes", "a smaller array");
    }
    total *= extent;
  }
  contents.data = bytes.subspan(4 + 4 * rank);
  if (contents.data.size() != total) {
    fail("holds " + std::to_string(contents.data.size()) + " bytes of data",
         std::to_string(total) + " as its header says");
  }
  return contents;
}

}  // namespace dashi::data
