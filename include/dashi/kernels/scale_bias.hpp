// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/core/context.hpp>
#include <dashi/kernels/column_scale.hpp>
#include <dashi/kernels/row_products.hpp>
#include <dashi/kernels/tree_sum.hpp>

#include <algorithm>
#include <cstddef>

namespace dashi::kernels {

/// y[t, j] = gamma[j] y[t, j] + bias[j], in place, rounded once. DiffFit, arXiv 2304.06648; bias
/// alone is BitFit.
///
/// y [T, m], rows any distance apart; gamma and bias [m] of y's type, either may be empty. `saved`
/// [T, m], if given, receives y as it was, which the gradient of gamma needs, in the same pass.
/// Reads and writes y once. Asynchronous.
template <class T, class Exec, class Provider>
void scale_bias(Context<Exec, Provider>& ctx, VectorOf<T const, Exec> gamma,
                VectorOf<T const, Exec> bias, RowsArgument<T, Exec> const& y,
                RowsArgument<T, Exec> const& saved = {}) {
  if (gamma.extent(0) > 0) {
    detail::expect_size(gamma.extent(0), "gamma", y.cols);
  }
  if (bias.extent(0) > 0) {
    detail::expect_size(bias.extent(0), "bias", y.cols);
  }
  if (saved.given()) {
    detail::expect_extents<T>(saved, "saved", y.rows, y.cols);
  }
  auto const data = [](auto const& v) { return v.extent(0) > 0 ? v.data() : nullptr; };
  detail::scale_columns<T>(ctx, "dashi::kernels::scale_bias", read_only<T>(y), y, saved,
                           data(gamma), detail::GateRows<T>{{}, nullptr, 1}, data(bias));
}

/// Bytes of ctx.scratch() that scale_bias_adjoint takes.
template <class T, class Exec>
std::size_t scale_bias_adjoint_scratch(Index rows, Index cols) {
  Arena measuring;
  for (int i = 0; i < 2; ++i) {
    measuring.vector<AccumulatorOf<T>, Exec>(detail::scale_terms(rows, std::max<Index>(rows, 1)) *
                                             cols);
  }
  return measuring.peak();
}

/// The adjoint: dgamma[j] = beta dgamma[j] + Σ_t dy[t, j] saved[t, j], dbias[j] = beta dbias[j] +
/// Σ_t dy[t, j], then dy[t, j] *= gamma[j].
///
/// dgamma and dbias of accumulator type, either may be empty; `saved` is what scale_bias kept,
/// needed for dgamma only. Sums over 32 rows, then a tree: the same bits on any number of threads.
/// One pass over dy and saved. Takes scale_bias_adjoint_scratch bytes. Asynchronous.
template <class T, class Exec, class Provider>
void scale_bias_adjoint(Context<Exec, Provider>& ctx, VectorOf<T const, Exec> gamma,
                        RowsArgument<T, Exec> const& dy, RowsArgument<T const, Exec> const& saved,
                        VectorOf<AccumulatorOf<T>, Exec> dgamma,
                        VectorOf<AccumulatorOf<T>, Exec> dbias, double beta = 0) {
  using Acc = AccumulatorOf<T>;
  bool const want_gamma = dgamma.extent(0) > 0;
  bool const want_bias = dbias.extent(0) > 0;
  if (gamma.extent(0) > 0) {
    detail::expect_size(gamma.extent(0), "gamma", dy.cols);
  }
  if (want_gamma) {
    detail::expect_size(dgamma.extent(0), "dgamma", dy.cols);
    detail::expect_extents<T const>(saved, "saved", dy.rows, dy.cols);
  }
  if (want_bias) {
    detail::expect_size(dbias.extent(0), "dbias", dy.cols);
  }
  Frame const frame(ctx.scratch());
  Index const rows_per_sample = std::max<Index>(dy.rows, 1);
  Index const terms = dy.rows == 0 ? 0 : detail::scale_terms(dy.rows, rows_per_sample);
  auto const products = ctx.scratch().template vector<Acc, Exec>(terms * dy.cols);
  auto const sums = ctx.scratch().template vector<Acc, Exec>(terms * dy.cols);
  detail::scale_columns_adjoint<T>(ctx, "dashi::kernels::scale_bias_adjoint", dy,
                                   want_gamma ? plain<T const>(saved) : Rows<T const>{},
                                   gamma.extent(0) > 0 ? gamma.data() : nullptr,
                                   detail::GateRows<T>{{}, nullptr, rows_per_sample},
                                   products.data(), want_bias ? sums.data() : nullptr);
  if (want_gamma) {
    tree_sum<Acc>(ctx, products.data(), terms, 1, beta, {dgamma.data(), 1, dy.cols, dy.cols});
  }
  if (want_bias) {
    tree_sum<Acc>(ctx, sums.data(), terms, 1, beta, {dbias.data(), 1, dy.cols, dy.cols});
  }
}

}  // namespace dashi::kernels
