// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

namespace dashi {

/// Bump allocator over memory of any space; the host hands out addresses and never touches them.
///
/// A default-constructed arena measures: it gives out null views (their extents are right, their
/// size() is 0) and counts, so that running a layer's set-up twice, first on a measuring arena,
/// yields the exact capacity (peak()).
/// Not thread-safe.
class Arena {
public:
  static constexpr std::size_t alignment = 128;

  Arena() = default;

  /// Over `capacity` bytes at `base`, which is aligned to Arena::alignment and not null.
  Arena(std::byte* base, std::size_t capacity) : base_(base), capacity_(capacity) {
    DASHI_EXPECTS(base != nullptr, "an arena needs memory; a default-constructed one measures");
    DASHI_EXPECTS(reinterpret_cast<std::uintptr_t>(base) % alignment == 0,
                  "arena memory must be aligned to 128 bytes");
  }

  bool measuring() const noexcept { return base_ == nullptr; }
  std::size_t capacity() const noexcept { return capacity_; }
  std::size_t used() const noexcept { return top_; }
  /// The largest used() so far.
  std::size_t peak() const noexcept { return peak_; }

  /// Uninitialised; throws PreconditionError with needed and available bytes when it does not fit.
  template <class T, class Exec>
  VectorOf<T, Exec> vector(Index size) {
    return {take<T>(size), static_cast<std::size_t>(size)};
  }
  template <class T, class Exec>
  MatrixOf<T, Exec> matrix(Index rows, Index cols) {
    return {take<T>(checked_multiply(rows, cols)), static_cast<std::size_t>(rows),
            static_cast<std::size_t>(cols)};
  }

private:
  friend class Frame;

  template <class T>
  T* take(Index count) {
    static_assert(alignof(T) <= alignment);
    auto const bytes =
        static_cast<std::size_t>(checked_multiply(count, static_cast<Index>(sizeof(T))));
    std::size_t const padded = (bytes + alignment - 1) / alignment * alignment;
    DASHI_EXPECTS(padded <= std::numeric_limits<std::size_t>::max() - top_,
                  "an arena cannot count more than 2^64 bytes");
    std::size_t const needed = top_ + padded;
    DASHI_EXPECTS(measuring() || needed <= capacity_,
                  "arena too small: " + std::to_string(needed) + " bytes needed, " +
                      std::to_string(capacity_) +
                      " there; reserve the peak() of a measuring arena");
    T* const result = measuring() ? nullptr : reinterpret_cast<T*>(base_ + top_);
    top_ = needed;
    peak_ = std::max(peak_, top_);
    return result;
  }

  std::byte* base_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t top_ = 0;
  std::size_t peak_ = 0;
};

/// Gives back at its end what was taken from the arena since its construction. Does not fence:
/// later users on the same execution-space instance run after the kernels that still read it.
class Frame {
public:
  explicit Frame(Arena& arena) noexcept : arena_(arena), mark_(arena.top_) {}
  ~Frame() { arena_.top_ = mark_; }
  Frame(Frame const&) = delete;
  Frame& operator=(Frame const&) = delete;

private:
  Arena& arena_;
  std::size_t mark_;
};

}  // namespace dashi
