// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/float_types.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/progress.hpp>
#include <dashi/merging/chunk_pool.hpp>
#include <dashi/merging/typed_values.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
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

namespace detail {

template <class T>
bool all_finite(std::byte const* bytes, std::size_t count) {
  using F = FloatFormat<T>;
  typename F::Bits nonfinite = 0;
  for (std::size_t i = 0; i < count; ++i) {
    typename F::Bits bits;
    std::memcpy(&bits, bytes + i * sizeof bits, sizeof bits);
    nonfinite =
        static_cast<typename F::Bits>(nonfinite | ((bits & F::exponent_mask) == F::exponent_mask));
  }
  return nonfinite == 0;
}

template <class T>
void count_nonfinite(std::byte const* bytes, std::size_t count, std::uint64_t first,
                     std::uint64_t& nans, std::uint64_t& infinities, std::uint64_t& at) {
  using F = FloatFormat<T>;
  for (std::size_t i = 0; i < count; ++i) {
    typename F::Bits bits;
    std::memcpy(&bits, bytes + i * sizeof bits, sizeof bits);
    if ((bits & F::exponent_mask) == F::exponent_mask) {
      at = nans + infinities == 0 ? first + i : at;
      ((bits & F::fraction_mask) != 0 ? nans : infinities) += 1;
    }
  }
}

}  // namespace detail

/// Whether no value is NaN or infinite; always true for dtypes that are not averaged.
inline bool all_finite(io::Dtype dtype, std::span<std::byte const> bytes) {
  return !io::is_averaged(dtype) || with_type(dtype, [&]<class T>() {
    return detail::all_finite<T>(bytes.data(), bytes.size() / sizeof(T));
  });
}

/// Counts what is not finite in a whole tensor and throws the FormatError about it.
[[noreturn]] inline void refuse_nonfinite(io::Checkpoint const& checkpoint,
                                          io::TensorRef const& ref) {
  constexpr std::uint64_t block = std::uint64_t{1} << 20;
  std::uint64_t nans = 0, infinities = 0, first = 0;
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min(block, ref.info.bytes())));
  with_type(ref.info.dtype, [&]<class T>() {
    for (std::uint64_t offset = 0; offset < ref.info.bytes(); offset += block) {
      auto const part = std::span(buffer).first(
          static_cast<std::size_t>(std::min(block, ref.info.bytes() - offset)));
      checkpoint.read(ref, offset, part);
      detail::count_nonfinite<T>(part.data(), part.size() / sizeof(T), offset / sizeof(T), nans,
                                 infinities, first);
    }
  });
  throw FormatError(
      {.code = "nonfinite",
       .file = checkpoint.path().string(),
       .place = "tensor " + io::in_quotes(ref.info.name) + " element " + std::to_string(first),
       .found = std::to_string(nans) + " NaN and " + std::to_string(infinities) +
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
