// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <mutex>

namespace dashi::io {

/// Which bytes of [0, size) have been written, to prove at the end that each was exactly once.
/// Thread-safe. Neighbouring ranges are merged, so memory grows with the number of gaps only.
class ByteCoverage {
public:
  explicit ByteCoverage(std::uint64_t size) : size_(size) {}

  /// False, and nothing changes, if part of [begin, end) was there already or lies outside.
  bool add(std::uint64_t begin, std::uint64_t end) {
    if (begin > end || end > size_) {
      return false;
    }
    if (begin == end) {
      return true;
    }
    std::lock_guard const lock(mutex_);
    auto next = ranges_.lower_bound(begin);  // the first range that begins at or after `begin`
    auto const before = next == ranges_.begin() ? ranges_.end() : std::prev(next);
    if ((next != ranges_.end() && next->first < end) ||
        (before != ranges_.end() && before->second > begin)) {
      return false;
    }
    if (next != ranges_.end() && next->first == end) {
      end = next->second;
      next = ranges_.erase(next);
    }
    if (before != ranges_.end() && before->second == begin) {
      before->second = end;
    } else {
      ranges_.emplace_hint(next, begin, end);
    }
    return true;
  }

  /// The first byte that is missing; the size when none is.
  std::uint64_t first_gap() const {
    std::lock_guard const lock(mutex_);
    return ranges_.empty() || ranges_.begin()->first > 0 ? 0 : ranges_.begin()->second;
  }

private:
  std::uint64_t size_;
  mutable std::mutex mutex_;
  std::map<std::uint64_t, std::uint64_t> ranges_;  ///< begin -> end, disjoint, not touching
};

}  // namespace dashi::io
