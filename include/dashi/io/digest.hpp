// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/dtype.hpp>
#include <dashi/io/field_hash.hpp>
#include <dashi/io/sha256.hpp>
#include <dashi/io/xxh3.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dashi::io {

/// Which hash a digest is made with. Ledgers, which let a member be removed because of its digest,
/// use SHA-256; provenance of merges, where the digest is a name, XXH3, which is as fast as memory.
enum class DigestKind : unsigned char { none, sha256, xxh3 };

/// What one tensor contributes to the digest of its checkpoint.
template <class Hash>
struct TensorDigestOf {
  std::string name;
  Dtype dtype = Dtype::u8;
  std::vector<std::uint64_t> shape;
  typename Hash::Digest digest{};  ///< of the tensor's bytes as stored
};
using TensorDigest = TensorDigestOf<Sha256>;

/// Hash of one buffer.
template <class Hash>
typename Hash::Digest digest_of(std::span<std::byte const> bytes) {
  Hash hash;
  hash.update(bytes);
  return hash.finish();
}

/// "xxh3-128:" and hexadecimal; SHA-256 has no prefix. Lower case.
template <class Hash>
std::string digest_text(typename Hash::Digest const& digest) {
  return std::string(Hash::prefix) + hex(digest);
}

/// Text as long as that of a digest, which is not known yet.
inline std::string placeholder_digest(DigestKind kind) {
  switch (kind) {
    case DigestKind::sha256: return digest_text<Sha256>({});
    case DigestKind::xxh3: return digest_text<Xxh3>({});
    default: return {};
  }
}

/// Digest of a checkpoint's content: the same for any sharding, order of the header and padding,
/// and blind to the metadata. Text as of digest_text().
///
/// SHA-256 (or the other hash) over this byte string, where u64 is eight bytes, least significant
/// first:
///
///     "dashi tensors 1\n"                         16 bytes
///     u64 number of tensors
///     for each tensor, ordered by the bytes of its name:
///       u64 length of the name in bytes, the name
///       u64 length of the dtype's spelling, the spelling ("BF16")
///       u64 rank, then each extent as u64
///       32 bytes: SHA-256 of the tensor's bytes (XXH3: 16 bytes)
///
/// Every part says its length, so two different checkpoints never give the same string.
template <class Hash = Sha256>
std::string member_digest(std::vector<TensorDigestOf<Hash>> tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](auto const& a, auto const& b) { return a.name < b.name; });
  FieldHash<Hash> hash("dashi tensors 1\n");
  hash.number(tensors.size());
  for (TensorDigestOf<Hash> const& tensor : tensors) {
    hash.text(tensor.name);
    hash.text(name(tensor.dtype));
    hash.number(tensor.shape.size());
    for (std::uint64_t const extent : tensor.shape) {
      hash.number(extent);
    }
    hash.bytes(tensor.digest);
  }
  return digest_text<Hash>(hash.finish());
}

}  // namespace dashi::io
