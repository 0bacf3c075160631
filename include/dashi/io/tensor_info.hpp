// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/dtype.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace dashi::io {

/// One tensor of a safetensors file: C order, little-endian, no strides.
///
/// A TensorInfo that came from parse_safetensors_header() is consistent: the element count fits 64
/// bits, and end - begin is the byte count that dtype and shape imply.
struct TensorInfo {
  std::string name;  ///< as stored; data, never a path; print it escaped
  Dtype dtype = Dtype::u8;
  std::vector<std::uint64_t> shape;  ///< empty for a scalar
  std::uint64_t begin = 0;           ///< first byte, relative to the data buffer
  std::uint64_t end = 0;             ///< one past the last byte, relative to the data buffer

  /// Product of the shape; 1 for a scalar.
  std::uint64_t elements() const noexcept {
    std::uint64_t count = 1;
    for (std::uint64_t const extent : shape) {
      count *= extent;
    }
    return count;
  }
  std::uint64_t bytes() const noexcept { return end - begin; }
};

/// "[2, 3]", "[]".
inline std::string shape_text(std::vector<std::uint64_t> const& shape) {
  std::string out = "[";
  for (std::uint64_t const extent : shape) {
    out += (out.size() == 1 ? "" : ", ") + std::to_string(extent);
  }
  return out + "]";
}

}  // namespace dashi::io
