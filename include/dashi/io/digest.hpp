// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/dtype.hpp>
#include <dashi/io/sha256.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dashi::io {

/// What one tensor contributes to the digest of its checkpoint.
struct TensorDigest {
  std::string name;
  Dtype dtype = Dtype::u8;
  std::vector<std::uint64_t> shape;
  Sha256Digest sha256{};  ///< of the tensor's bytes as stored
};

/// Digest of a checkpoint's content: the same for any sharding, order of the header and padding,
/// and blind to the metadata. Lower-case hexadecimal.
///
/// SHA-256 over this byte string, where u64 is eight bytes, least significant first:
///
///     "dashi tensors 1\n"                         16 bytes
///     u64 number of tensors
///     for each tensor, ordered by the bytes of its name:
///       u64 length of the name in bytes, the name
///       u64 length of the dtype's spelling, the spelling ("BF16")
///       u64 rank, then each extent as u64
///       32 bytes: SHA-256 of the tensor's bytes
///
/// Every part says its length, so two different checkpoints never give the same string.
inline std::string member_digest(std::vector<TensorDigest> tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](TensorDigest const& a, TensorDigest const& b) { return a.name < b.name; });
  Sha256 hash;
  auto const add_number = [&](std::uint64_t value) {
    std::array<std::byte, 8> bytes{};
    for (std::byte& b : bytes) {
      b = static_cast<std::byte>(value & 0xffU);
      value >>= 8;
    }
    hash.update(bytes);
  };
  auto const add_text = [&](std::string_view text) {
    add_number(text.size());
    hash.update(text);
  };
  hash.update("dashi tensors 1\n");
  add_number(tensors.size());
  for (TensorDigest const& tensor : tensors) {
    add_text(tensor.name);
    add_text(name(tensor.dtype));
    add_number(tensor.shape.size());
    for (std::uint64_t const extent : tensor.shape) {
      add_number(extent);
    }
    hash.update(tensor.sha256);
  }
  return hex(hash.finish());
}

}  // namespace dashi::io
