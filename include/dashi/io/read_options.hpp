// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstdint>

namespace dashi::io {

/// How strictly checkpoints are read.
struct ReadOptions {
  /// Read, with a warning each: white space before the header's '{'; unknown fields in a tensor
  /// entry or an index; a declared total size that differs from the sum.
  bool lenient = false;
  /// Follow symbolic links of a shard that lead outside the index's directory, as the Hugging Face
  /// cache has them (snapshots/<revision>/name -> ../../blobs/<hash>).
  bool allow_links = false;
  /// Most tensors in one header or index. A header of the largest size holds about as many, in
  /// about 400 MB of memory.
  std::uint64_t max_tensors = 2'000'000;
  int max_rank = 8;
};

/// Most bytes of a safetensors header, the format's own limit; also of an index.
inline constexpr std::uint64_t largest_header_bytes = 100'000'000;

/// Largest number in a header: extents, offsets. Products of extents obey it too.
inline constexpr std::uint64_t largest_number = std::uint64_t{1} << 48;

}  // namespace dashi::io
