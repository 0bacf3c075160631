// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/checkpoint.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/progress.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <numeric>
#include <span>
#include <thread>
#include <tuple>
#include <vector>

namespace dashi::io {

/// Digests of every tensor, in the order of checkpoint.tensors(): one list for each of `Hashes`,
/// from one pass of reading.
///
/// `threads` (at least 1) share the tensors, largest first; each holds one buffer of 1 MiB and no
/// more. One tensor is hashed by one thread, because a hash is a chain. `look(tensor, bytes)` is
/// shown every part, from any thread. Throws what reading and looking throw; then the other
/// threads stop at their next part.
template <class... Hashes, class Look>
std::tuple<std::vector<TensorDigestOf<Hashes>>...> hash_tensors(Checkpoint const& checkpoint,
                                                                std::size_t threads,
                                                                Progress& progress,
                                                                Look const& look) {
  constexpr std::uint64_t block = std::uint64_t{1} << 20;
  auto const& tensors = checkpoint.tensors();
  std::tuple<std::vector<TensorDigestOf<Hashes>>...> digests{
      std::vector<TensorDigestOf<Hashes>>(tensors.size())...};
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return tensors[a].info.bytes() > tensors[b].info.bytes();
  });
  std::uint64_t total = 0;
  for (TensorRef const& tensor : tensors) {
    total += tensor.info.bytes();
  }
  progress.start(total);

  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  std::mutex error_mutex;
  auto const work = [&]() noexcept {
    try {
      std::vector<std::byte> buffer;
      std::tuple<Hashes...> hashes;
      for (std::size_t at = next++; at < order.size(); at = next++) {
        TensorRef const& tensor = tensors[order[at]];
        std::uint64_t const size = tensor.info.bytes();
        buffer.resize(static_cast<std::size_t>(
            std::max<std::uint64_t>(buffer.size(), std::min(block, size))));
        for (std::uint64_t offset = 0; offset < size; offset += block) {
          if (failed) {
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
      if (!failed.exchange(true)) {
        error = std::current_exception();
      }
    }
  };

  std::vector<std::thread> team;
  std::size_t const helpers = std::min(std::max<std::size_t>(threads, 1), order.size());
  try {
    while (team.size() + 1 < helpers) {
      team.emplace_back(work);
    }
  } catch (std::exception const&) {
    // No more threads to be had: those that run, and this one, do the work.
  }
  work();
  for (std::thread& thread : team) {
    thread.join();
  }
  if (error) {
    std::rethrow_exception(error);
  }
  return digests;
}

}  // namespace dashi::io
