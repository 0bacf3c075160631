// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/linalg/randomised_svd.hpp>
#include <dashi/linalg/svd.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace dashi::checkpoints {

/// up [rows, rank] down [rank, cols], each with the root of the singular values.
struct LowRankFactors {
  std::vector<double> up, down;
  std::size_t rank = 0;
};

/// The best such product of a matrix [rows, cols] in the Frobenius norm. Small ranks by random
/// sampling (linalg::randomised_svd, three steps of the power method: close to the best, seeded)
/// unless `best` is asked for, others by a full decomposition. Throws as linalg::svd.
template <class Exec, class Provider>
LowRankFactors nearest_low_rank(Context<Exec, Provider>& ctx, std::vector<double>& matrix,
                                std::size_t rows, std::size_t cols, std::size_t rank,
                                std::uint64_t seed, bool best = false) {
  DASHI_EXPECTS(matrix.size() == rows * cols && rank > 0, "a matrix, and a rank");
  std::size_t const most = std::min(rows, cols);
  LowRankFactors out;
  out.rank = std::min(rank, most);
  bool const sampled = !best && 4 * (out.rank + 10) < most;
  std::size_t const k = sampled ? out.rank : most;
  std::vector<double> u(rows * k), s(k), vt(k * cols);
  auto const index = [](std::size_t n) { return static_cast<Index>(n); };
  auto const a = matrix_over<double, Exec>(matrix.data(), index(rows), index(cols));
  auto const u_view = matrix_over<double, Exec>(u.data(), index(rows), index(k));
  auto const s_view = vector_over<double, Exec>(s.data(), index(k));
  auto const vt_view = matrix_over<double, Exec>(vt.data(), index(k), index(cols));
  if (sampled) {
    linalg::randomised_svd(ctx, a, index(k), {.oversampling = 10, .power_steps = 3, .seed = seed},
                           u_view, s_view, vt_view);
  } else {
    linalg::svd(ctx, a, u_view, s_view, vt_view);
  }
  out.up.resize(rows * out.rank);
  out.down.resize(out.rank * cols);
  for (std::size_t r = 0; r < out.rank; ++r) {
    double const root = std::sqrt(s[r]);
    for (std::size_t i = 0; i < rows; ++i) {
      out.up[i * out.rank + r] = u[i * k + r] * root;
    }
    for (std::size_t j = 0; j < cols; ++j) {
      out.down[r * cols + j] = vt[r * cols + j] * root;
    }
  }
  return out;
}

/// The smallest rank whose best product keeps `least` of the squares of a matrix [rows, cols], by
/// all its singular values. Throws as linalg::svd.
template <class Exec, class Provider>
std::size_t rank_that_keeps(Context<Exec, Provider>& ctx, std::vector<double> matrix,
                            std::size_t rows, std::size_t cols, double least) {
  std::vector<double> values(std::min(rows, cols));
  auto const index = [](std::size_t n) { return static_cast<Index>(n); };
  linalg::singular_values(ctx, matrix_over<double, Exec>(matrix.data(), index(rows), index(cols)),
                          vector_over<double, Exec>(values.data(), index(values.size())));
  double lost = 0;
  double all = 0;
  for (double const value : values) {
    all += value * value;
  }
  std::size_t rank = values.size();
  while (rank > 1 && lost + values[rank - 1] * values[rank - 1] <= (1 - least) * all) {
    --rank;
    lost += values[rank] * values[rank];
  }
  return rank;
}

}  // namespace dashi::checkpoints
