// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/kernels/mean_report.hpp>
#include <dashi/merging/chunk_pool.hpp>
#include <dashi/merging/finite_values.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace dashi::merging {

/// Indices of `sizes`, largest first: the order in which few threads finish soonest.
inline std::vector<std::size_t> largest_first(std::vector<std::uint64_t> const& sizes) {
  std::vector<std::size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return sizes[a] > sizes[b]; });
  return order;
}

/// Counts what is not finite in a whole tensor and throws the FormatError about it.
[[noreturn]] inline void refuse_nonfinite(io::Checkpoint const& checkpoint,
                                          io::TensorRef const& ref) {
  constexpr std::uint64_t block = std::uint64_t{1} << 20;
  kernels::MeanReport found;
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min(block, ref.info.bytes())));
  std::uint64_t const width = static_cast<std::uint64_t>(io::bits(ref.info.dtype)) / 8;
  for (std::uint64_t offset = 0; offset < ref.info.bytes(); offset += block) {
    auto const part = std::span(buffer).first(
        static_cast<std::size_t>(std::min(block, ref.info.bytes() - offset)));
    checkpoint.read(ref, offset, part);
    found +=
        count_nonfinite(ref.info.dtype, part).shifted(static_cast<std::int64_t>(offset / width));
  }
  throw FormatError({.code = "nonfinite",
                     .file = checkpoint.path().string(),
                     .place = "tensor " + io::in_quotes(ref.info.name) + " element " +
                              std::to_string(found.first_nonfinite),
                     .found = std::to_string(found.nan_inputs) + " NaN and " +
                              std::to_string(found.infinite_inputs) +
                              " infinite values in this tensor, the first here",
                     .expected = "finite values",
                     .advice = "a soup takes finite members only; repair the checkpoint"});
}

/// Digest of a member's content, from one pass that also refuses values that are not finite
/// (FormatError; `check_finite`). Each worker reads whole tensors through a buffer of 1 MiB.
inline std::string scan_member(io::Checkpoint const& checkpoint, int workers, bool check_finite,
                               io::Progress& progress = io::no_progress()) {
  constexpr std::uint64_t block = std::uint64_t{1} << 20;
  auto const& tensors = checkpoint.tensors();
  std::vector<std::uint64_t> sizes;
  for (io::TensorRef const& ref : tensors) {
    sizes.push_back(ref.info.bytes());
  }
  std::vector<std::size_t> const order = largest_first(sizes);
  int const team = worker_count(workers);
  std::vector<std::vector<std::byte>> buffers(static_cast<std::size_t>(team));
  std::vector<io::TensorDigest> digests(tensors.size());
  progress.start(checkpoint.bytes());
  run_chunks(order.size(), team, [&](int worker, std::uint64_t at) {
    std::size_t const t = order[static_cast<std::size_t>(at)];
    io::TensorRef const& ref = tensors[t];
    std::vector<std::byte>& buffer = buffers[static_cast<std::size_t>(worker)];
    buffer.resize(
        std::max(buffer.size(), static_cast<std::size_t>(std::min(block, ref.info.bytes()))));
    io::Sha256 hash;
    for (std::uint64_t offset = 0; offset < ref.info.bytes(); offset += block) {
      auto const part = std::span(buffer).first(
          static_cast<std::size_t>(std::min(block, ref.info.bytes() - offset)));
      checkpoint.read(ref, offset, part);
      if (check_finite && !all_finite(ref.info.dtype, part)) {
        refuse_nonfinite(checkpoint, ref);
      }
      hash.update(part);
      progress.advance(part.size());
    }
    digests[t] = {ref.info.name, ref.info.dtype, ref.info.shape, hash.finish()};
  });
  checkpoint.expect_unchanged();
  return io::member_digest(std::move(digests));
}

}  // namespace dashi::merging
