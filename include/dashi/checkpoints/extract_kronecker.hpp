// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace dashi::checkpoints {

/// Shapes of a Kronecker product: first [p1, q1], second [p2, q2].
struct KroneckerSplit {
  std::size_t p1 = 1, q1 = 1, p2 = 1, q2 = 1;

  std::size_t parameters() const noexcept { return p1 * q1 + p2 * q2; }
};

/// The largest divisor of n that is at most `factor`; factor 0: the most balanced pair's smaller.
inline std::size_t divisor_below(std::size_t n, std::size_t factor) {
  std::size_t best = 1;
  for (std::size_t d = 1; d * d <= n; ++d) {
    if (n % d != 0) {
      continue;
    }
    for (std::size_t const divisor : {d, n / d}) {
      if (divisor > best && (factor == 0 ? divisor * divisor <= n : divisor <= factor)) {
        best = divisor;
      }
    }
  }
  return best;
}

/// first (x) second, and how good it is.
struct KroneckerFactors {
  std::vector<double> first, second;
  double value = 0;  ///< singular value of the rearranged matrix: its norm is the product's
  int steps = 0;     ///< of the power method
};

/// The Kronecker product nearest to a matrix [p1 p2, q1 q2] in the Frobenius norm: the leading
/// singular pair of its rearrangement [p1 q1, p2 q2], by the power method with the rearrangement
/// read in place (C. F. Van Loan, N. Pitsianis, "Approximation with Kronecker products", 1993).
/// Ends when the value no longer grows, or after `most_steps`; the start is the block of the
/// largest norm, so that the result is a function of the matrix alone. Of an exact product it takes
/// two steps.
inline KroneckerFactors nearest_kronecker(std::span<double const> matrix,
                                          KroneckerSplit const& split, int most_steps = 500) {
  auto const [p1, q1, p2, q2] = split;
  std::size_t const cols = q1 * q2;
  DASHI_EXPECTS(matrix.size() == p1 * p2 * cols, "a matrix of the product's shape");
  KroneckerFactors out;
  out.first.assign(p1 * q1, 0);
  out.second.assign(p2 * q2, 0);
  auto const block = [&](std::size_t i, std::size_t j, std::size_t k) {
    return matrix.data() + (i * p2 + k) * cols + j * q2;
  };
  auto const norm = [](std::vector<double> const& values) {
    return std::sqrt(std::inner_product(values.begin(), values.end(), values.begin(), 0.0));
  };
  double largest = 0;
  std::size_t at = 0;
  for (std::size_t b = 0; b < p1 * q1; ++b) {
    double sum = 0;
    for (std::size_t k = 0; k < p2; ++k) {
      double const* const line = block(b / q1, b % q1, k);
      sum = std::inner_product(line, line + q2, line, sum);
    }
    if (sum > largest) {
      largest = sum;
      at = b;
    }
  }
  if (largest == 0) {
    return out;
  }
  for (std::size_t k = 0; k < p2; ++k) {
    double const* const line = block(at / q1, at % q1, k);
    std::copy(line, line + q2, out.second.begin() + static_cast<std::ptrdiff_t>(k * q2));
  }
  double last = 0;
  for (out.steps = 0; out.steps < most_steps; ++out.steps) {
    double const length = norm(out.second);
    for (double& value : out.second) {
      value /= length;
    }
    for (std::size_t b = 0; b < p1 * q1; ++b) {
      double sum = 0;
      for (std::size_t k = 0; k < p2; ++k) {
        double const* const line = block(b / q1, b % q1, k);
        sum = std::inner_product(line, line + q2, out.second.data() + k * q2, sum);
      }
      out.first[b] = sum;
    }
    double const first_length = norm(out.first);
    std::vector<double> next(p2 * q2);
    for (std::size_t b = 0; b < p1 * q1; ++b) {
      double const factor = out.first[b] / first_length;
      for (std::size_t k = 0; k < p2; ++k) {
        double const* const line = block(b / q1, b % q1, k);
        for (std::size_t l = 0; l < q2; ++l) {
          next[k * q2 + l] += factor * line[l];
        }
      }
    }
    out.second = std::move(next);
    out.value = norm(out.second);
    if (out.value <= last * (1 + 1e-15)) {
      ++out.steps;
      break;
    }
    last = out.value;
    for (double& value : out.first) {
      value /= first_length;
    }
  }
  double const first_length = norm(out.first);
  double const root = std::sqrt(out.value);
  for (double& value : out.first) {
    value *= root / first_length;
  }
  for (double& value : out.second) {
    value *= root / out.value;
  }
  return out;
}

}  // namespace dashi::checkpoints
