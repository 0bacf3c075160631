// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/checkpoint.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/largest_first.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/io/run_team.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <numeric>
#include <span>
#include <tuple>
#include <vector>

namespace dashi::io {

/// Digests of every tensor, in the order of checkpoint.tensors(): one list for each of `Hashes`,
/// from one pass of reading.
///
/// `threads` (at least 1) share the tensors, largest first; each holds one buffer of 1 MiB and no
/// more. One tensor is hashed by one thread, because a hash is a chain. `look(tensor, bytes)` is
/// shown every part, from any thread. Throws what reading and looking throw first, in
/// that order of tensors; threads at later tensors stop at their next part.
template <class... Hashes, class Look>
std::tuple<std::vector<TensorDigestOf<Hashes>>...> hash_tensors(Checkpoint const& checkpoint,
                                                                std::size_t threads,
                                                                Progress& progress,
                                                                Look const& look) {
  constexpr std::uint64_t block = std::uint64_t{1} << 20;
  auto const& tensors = checkpoint.tensors();
  std::tuple<std::vector<TensorDigestOf<Hashes>>...> digests{
      std::vector<TensorDigestOf<Hashes>>(tensors.size())...};
  std::vector<std::uint64_t> sizes;
  for (TensorRef const& tensor : tensors) {
    sizes.push_back(tensor.info.bytes());
  }
  std::vector<std::size_t> const order = largest_first(sizes);
  progress.start(std::accumulate(sizes.begin(), sizes.end(), std::uint64_t{0}));

  std::atomic<std::size_t> next{0};
  constexpr std::size_t none = static_cast<std::size_t>(-1);
  std::atomic<std::size_t> failed{none};  // the first in the order: what is thrown does not vary
  std::exception_ptr error;
  std::mutex error_mutex;
  auto const work = [&]() noexcept {
    std::size_t at = none;
    try {
      std::vector<std::byte> buffer;
      std::tuple<Hashes...> hashes;
      for (at = next++; at < order.size(); at = next++) {
        TensorRef const& tensor = tensors[order[at]];
        std::uint64_t const size = tensor.info.bytes();
        buffer.resize(static_cast<std::size_t>(
            std::max<std::uint64_t>(buffer.size(), std::min(block, size))));
        for (std::uint64_t offset = 0; offset < size; offset += block) {
          if (failed < at) {
            return;
          }
          auto const part =
              std::span(buffer).first(static_cast<std::size_t>(std::min(block, size - offset)));
          checkpoint.read(tensor, offset, part);
          look(tensor, std::span<std::byte const>(part));
          (std::get<Hashes>(hashes).update(part), ...);
          progress.advance(part.size());
        }
        ((std::get<std::vector<TensorDigestOf<Hashes>>>(
              digests)[order[at]] = {tensor.info.name, tensor.info.dtype, tensor.info.shape,
                                     std::get<Hashes>(hashes).finish()}),
         ...);
      }
    } catch (...) {
      std::lock_guard const lock(error_mutex);
      if (at < failed || !error) {
        failed = std::min(at, failed.load());
        error = std::current_exception();
      }
    }
  };

  run_team(std::min(std::max<std::size_t>(threads, 1), order.size()), work);
  if (error) {
    std::rethrow_exception(error);
  }
  return digests;
}

}  // namespace dashi::io
