// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/hash_tensors.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/kernels/mean_report.hpp>
#include <dashi/merging/chunk_pool.hpp>
#include <dashi/merging/finite_values.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace dashi::merging {

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
/// (FormatError; `check_finite`). See io::hash_tensors() for threads and memory.
inline std::string scan_member(io::Checkpoint const& checkpoint, int workers, bool check_finite,
                               io::Progress& progress = io::no_progress()) {
  auto const look = [&](io::TensorRef const& ref, std::span<std::byte const> part) {
    if (check_finite && !all_finite(ref.info.dtype, part)) {
      refuse_nonfinite(checkpoint, ref);
    }
  };
  auto digests = io::hash_tensors<io::Sha256>(
      checkpoint, static_cast<std::size_t>(worker_count(workers)), progress, look);
  checkpoint.expect_unchanged();
  return io::member_digest(std::get<0>(std::move(digests)));
}

}  // namespace dashi::merging
