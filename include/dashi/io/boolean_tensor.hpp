// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/safetensors_file.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace dashi::io {

/// Reads elements of a BOOL tensor from `first` on as 0 or 1. Throws FormatError for a byte of
/// another value, which SafetensorsFile::read(), a copy of bytes, lets pass.
inline void read_booleans(SafetensorsFile const& file, TensorInfo const& tensor,
                          std::uint64_t first, std::span<std::uint8_t> out) {
  DASHI_EXPECTS(tensor.dtype == Dtype::boolean, "the tensor must be BOOL");
  file.read(tensor, first, std::as_writable_bytes(out));
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out[i] > 1) {
      throw FormatError(
          {.code = "not-a-boolean",
           .file = file.file().path().string(),
           .place = "tensor " + in_quotes(tensor.name) + ", element " + std::to_string(first + i),
           .found = "byte " + std::to_string(out[i]),
           .expected = "0 or 1",
           .advice = "the tensor was written wrongly; it can only be copied"});
    }
  }
}

}  // namespace dashi::io
