// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>

#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::kernels {

/// Integer weights w of a mean Σ w_i x_i / Σ w_i, divided by their greatest common divisor.
///
/// Order is kept and zeros are kept (a member of weight 0 takes no part). Single weights may be
/// negative; the total must be positive (a negative total is the same mean with all signs turned)
/// and Σ|w| at most 2^62. Throws UsageError otherwise.
class MeanWeights {
public:
  explicit MeanWeights(std::vector<std::int64_t> integers) : values_(std::move(integers)) {
    std::int64_t divisor = 0;
    for (std::int64_t const w : values_) {
      if (w == INT64_MIN) {
        refuse("a weight of -2^63");
      }
      divisor = std::gcd(divisor, w);
    }
    for (std::int64_t& w : values_) {
      w = divisor == 0 ? 0 : w / divisor;
      std::uint64_t const magnitude = static_cast<std::uint64_t>(w < 0 ? -w : w);
      if (magnitude > limit - absolute_total_) {
        refuse("a sum of absolute weights above 2^62 in units of their last decimal place");
      }
      absolute_total_ += magnitude;
      total_ += w;
    }
    if (total_ <= 0) {
      refuse(total_ == 0 ? "a total weight of 0" : "a negative total weight");
    }
  }

  std::span<std::int64_t const> values() const { return values_; }
  std::int64_t total() const { return total_; }
  std::uint64_t absolute_total() const { return absolute_total_; }

  /// Smallest L with Σ|w| <= 2^L.
  int absolute_total_bits() const {
    int bits = 0;
    while ((std::uint64_t{1} << bits) < absolute_total_) {
      ++bits;
    }
    return bits;
  }

private:
  static constexpr std::uint64_t limit = std::uint64_t{1} << 62;

  [[noreturn]] static void refuse(char const* found) {
    throw UsageError({.code = "bad-weights",
                      .file = {},
                      .place = "weights",
                      .found = found,
                      .expected = "a positive total that fits",
                      .advice = "change the weights (negating all of them gives the same mean)"});
  }

  std::vector<std::int64_t> values_;
  std::int64_t total_ = 0;
  std::uint64_t absolute_total_ = 0;
};

}  // namespace dashi::kernels
