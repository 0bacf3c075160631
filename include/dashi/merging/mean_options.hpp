// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/dtype.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dashi::merging {

/// What to do with NaN and infinity in a member.
enum class NonfinitePolicy {
  error,      ///< FormatError with the tensor, the first index and the counts
  propagate,  ///< any NaN, or infinities of both signs, give NaN; else infinity. A member of weight
              ///< 0 takes no part
};

/// What to do with a result of finite members that the output dtype cannot hold.
enum class OverflowPolicy {
  error,      ///< FormatError with the tensor, the first index and the count;
              ///< NonfinitePolicy::propagate turns it into propagate
  saturate,   ///< the largest finite number of that sign
  propagate,  ///< infinity, as IEEE rounding says
};

/// What to do with a tensor that some members lack.
enum class OnMissing {
  error,      ///< FormatError with the names
  skip,       ///< the mean of the members that have it; their weights need a positive total
  zero,       ///< zeros stand for it; a tensor that is not averaged is an error
  keep_base,  ///< the base's tensor stands for it; a tensor that the base lacks too is an error
};

/// As options and provenance spell it.
constexpr std::string_view name(OnMissing policy) {
  constexpr std::array<std::string_view, 4> names{"error", "skip", "zero", "keep-base"};
  return names[static_cast<std::size_t>(policy)];
}

/// How a merge runs and what it may write.
struct MergeOptions {
  /// Of the tensors that are averaged: F16, BF16, F32 or F64. Nothing: that of the members, which
  /// must then agree on it for every tensor.
  std::optional<io::Dtype> dtype{};
  NonfinitePolicy nonfinite = NonfinitePolicy::error;
  OverflowPolicy overflow = OverflowPolicy::error;
  OnMissing on_missing = OnMissing::error;
  bool strict_dtype = false;     ///< refuse members that store a tensor in different dtypes
  bool allow_duplicate = false;  ///< accept two members with the same content
  /// Digests of the members, computed in the same pass, for the provenance and against duplicates;
  /// see MergePlan::digest_kind(). Members with an expected digest are always digested.
  bool digests = true;
  std::uint64_t memory_budget = std::uint64_t{1} << 30;  ///< bytes for buffers
  int workers = 0;                                       ///< threads; 0: one for each processor
  std::uint64_t chunk_bytes = 0;  ///< per member and chunk; 0: chosen for the cache and the budget
};

/// UsageError when the options ask for a dtype that no mean has.
inline void expect_averaged_dtype(MergeOptions const& options) {
  if (options.dtype && !io::is_averaged(*options.dtype)) {
    throw UsageError({.code = "bad-dtype",
                      .file = {},
                      .place = {},
                      .found = std::string(io::name(*options.dtype)) + " as dtype of the result",
                      .expected = "F16, BF16, F32 or F64",
                      .advice = {}});
  }
}

}  // namespace dashi::merging
