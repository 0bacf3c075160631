// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/checked_multiply.hpp>
#include <dashi/core/tensor.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace dashi::metrics {

/// One row of numbers for each image: what the metrics compare.
struct Features {
  Index count = 0;             ///< rows, one an image
  Index size = 0;              ///< numbers in a row
  std::vector<double> values;  ///< [count, size]

  Features() = default;
  /// All zero.
  Features(Index rows, Index cols)
      : count(rows), size(cols), values(static_cast<std::size_t>(checked_multiply(rows, cols))) {}

  std::span<double const> row(Index i) const {
    return {values.data() + i * size, static_cast<std::size_t>(size)};
  }
};

}  // namespace dashi::metrics
