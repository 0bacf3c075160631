// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/checkpoint.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/hash_tensors.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/io/sha256.hpp>
#include <dashi/io/xxh3.hpp>

#include <cstddef>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace dashi::io {

/// Digest of every tensor, in the order of checkpoint.tensors(); see hash_tensors().
template <class Hash = Sha256>
std::vector<TensorDigestOf<Hash>> tensor_digests(Checkpoint const& checkpoint, std::size_t threads,
                                                 Progress& progress = no_progress()) {
  return std::get<0>(
      hash_tensors<Hash>(checkpoint, threads, progress, [](auto const&, auto const&) {}));
}

/// member_digest() of a checkpoint on disk; SHA-256 gives 64 lower-case hexadecimal characters.
template <class Hash = Sha256>
std::string checkpoint_digest(Checkpoint const& checkpoint, std::size_t threads = 1,
                              Progress& progress = no_progress()) {
  return member_digest(tensor_digests<Hash>(checkpoint, threads, progress));
}

/// The digests of one content by both hashes, as text.
struct ContentDigests {
  std::string sha256;
  std::string xxh3;
};

/// Both digests from one pass of reading.
inline ContentDigests checkpoint_digests(Checkpoint const& checkpoint, std::size_t threads = 1,
                                         Progress& progress = no_progress()) {
  auto [sha256, xxh3] =
      hash_tensors<Sha256, Xxh3>(checkpoint, threads, progress, [](auto const&, auto const&) {});
  return {.sha256 = member_digest(std::move(sha256)), .xxh3 = member_digest(std::move(xxh3))};
}

}  // namespace dashi::io
