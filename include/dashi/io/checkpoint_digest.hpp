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
#include <string>
#include <thread>
#include <vector>

namespace dashi::io {

/// SHA-256 of every tensor, in the order of checkpoint.tensors().
///
/// `threads` (at least 1) share the tensors, largest first; each holds one buffer of 1 MiB and no
/// more. One tensor is hashed by one thread, because SHA-256 is a chain. Throws what reading
/// throws; then the other threads stop at their next block.
inline std::vector<TensorDigest> tensor_digests(Checkpoint const& checkpoint, std::size_t threads,
                                                Progress& progress = no_progress()) {
  constexpr std::uint64_t block = std::uint64_t{1} << 20;
  auto const& tensors = checkpoint.tensors();
  std::vector<TensorDigest> digests(tensors.size());
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return tensors[a].info.bytes() > tensors[b].info.bytes();
  });
  std::uint64_t total = 0;
  for (auto const& tensor : tensors) {
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
      Sha256 hash;
      for (std::size_t at = next++; at < order.size(); at = next++) {
        auto const& tensor = tensors[order[at]];
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
          hash.update(part);
          progress.advance(part.size());
        }
        digests[order[at]] = {tensor.info.name, tensor.info.dtype, tensor.info.shape,
                              hash.finish()};
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

/// member_digest() of a checkpoint on disk: 64 lower-case hexadecimal characters.
inline std::string checkpoint_digest(Checkpoint const& checkpoint, std::size_t threads = 1,
                                     Progress& progress = no_progress()) {
  return member_digest(tensor_digests(checkpoint, threads, progress));
}

}  // namespace dashi::io
