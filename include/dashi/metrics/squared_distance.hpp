// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>

#include <Kokkos_Core.hpp>

namespace dashi::metrics::detail {

/// Σ (a_i - b_i)^2 by eight sums of every eighth term, so that it vectorises in a fixed order.
KOKKOS_INLINE_FUNCTION double squared_distance(double const* a, double const* b, Index size) {
  double sums[8] = {};
  Index i = 0;
  for (; i + 8 <= size; i += 8) {
    for (int k = 0; k < 8; ++k) {
      double const difference = a[i + k] - b[i + k];
      sums[k] += difference * difference;
    }
  }
  for (int k = 0; i + k < size; ++k) {
    double const difference = a[i + k] - b[i + k];
    sums[k] += difference * difference;
  }
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

}  // namespace dashi::metrics::detail
