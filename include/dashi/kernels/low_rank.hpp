// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/core/context.hpp>
#include <dashi/kernels/row_products.hpp>
#include <dashi/kernels/transposed_product.hpp>

#include <algorithm>
#include <cstddef>

namespace dashi::kernels {

/// Bytes of ctx.scratch() that low_rank_apply takes when z is not saved.
template <class T, class Exec>
std::size_t low_rank_apply_scratch(Index rows, Index rank) {
  Arena measuring;
  measuring.matrix<T, Exec>(rows, rank);
  return measuring.peak();
}

/// y += scale B (A x) for every row of x: z = x A', y += scale z B'. LoRA, arXiv 2106.09685.
///
/// A [r, n], B [m, r], x [T, n], y [T, m], row-major, rows any distance apart, one element type.
/// `saved` [T, r], if given, receives z for the adjoint. 2 T r (m + n) FLOP; the addition to y is
/// the second product's own. Takes low_rank_apply_scratch bytes unless z is saved. Asynchronous.
template <class Exec, class Provider, class A, class B, class X, class Y>
void low_rank_apply(Context<Exec, Provider>& ctx, double scale, A const& a, B const& b, X const& x,
                    Y const& y,
                    RowsArgument<typename Y::non_const_value_type, Exec> const& saved = {}) {
  using T = typename Y::non_const_value_type;
  using linalg::Op;
  RowsOf<T const, Exec> const down(a);
  RowsOf<T const, Exec> const up(b);
  RowsOf<T const, Exec> const in(x);
  RowsOf<T, Exec> const out(y);
  detail::expect_extents<T const>(in, "x", in.rows, down.cols);
  detail::expect_extents<T const>(up, "B", up.rows, down.rows);
  detail::expect_extents<T>(out, "y", in.rows, up.rows);
  if (saved.given()) {
    detail::expect_extents<T>(saved, "saved", in.rows, down.rows);
  }
  Frame const frame(ctx.scratch());
  Rows<T> const z = saved.given()
                        ? plain<T>(saved)
                        : rows_of<T>(ctx.scratch().template matrix<T, Exec>(in.rows, down.rows));
  multiply(ctx, Op::none, in, Op::transpose, down, z);
  multiply(ctx, Op::none, read_only(z), Op::transpose, up, out, {scale, 1});
}

/// What low_rank_adjoint is to compute; what is left empty is not.
template <class T, class Exec>
struct LowRankGradients {
  RowsOf<T, Exec> dx{};
  double dx_beta = 0;  ///< dx becomes dx_beta dx plus its gradient
  RowsOf<AccumulatorOf<T>, Exec> da{};
  RowsOf<AccumulatorOf<T>, Exec> db{};
  double beta = 0;  ///< da and db become beta times themselves plus their gradient
};

/// Bytes of ctx.scratch() that low_rank_adjoint takes for A [rank, n] and B [m, rank].
template <class T, class Exec>
std::size_t low_rank_adjoint_scratch(Index rows, Index m, Index n, Index rank) {
  Arena measuring;
  measuring.matrix<T, Exec>(rows, rank);
  measuring.vector<AccumulatorOf<T>, Exec>(
      transposed_product_scratch<Exec>(rows, rank, std::max(m, n)));
  return measuring.peak();
}

/// The adjoint: dB += scale dy' z, dz = scale dy B, dA += dz' x, dx += dz A, with z as
/// low_rank_apply saved it. Takes low_rank_adjoint_scratch bytes. Asynchronous.
template <class Exec, class Provider, class A, class B, class X, class DY>
void low_rank_adjoint(Context<Exec, Provider>& ctx, double scale, A const& a, B const& b,
                      X const& x, DY const& dy,
                      LowRankGradients<typename X::non_const_value_type, Exec> const& gradients,
                      RowsArgument<typename X::non_const_value_type const, Exec> const& z) {
  using T = typename X::non_const_value_type;
  using linalg::Op;
  RowsOf<T const, Exec> const down(a);
  RowsOf<T const, Exec> const up(b);
  RowsOf<T const, Exec> const in(x);
  RowsOf<T const, Exec> const out(dy);
  Index const rank = down.rows;
  bool const want_dx = gradients.dx.given();
  bool const want_da = gradients.da.given();
  bool const want_db = gradients.db.given();
  detail::expect_extents<T const>(up, "B", up.rows, rank);
  detail::expect_extents<T const>(in, "x", in.rows, down.cols);
  detail::expect_extents<T const>(out, "dy", in.rows, up.rows);
  if (want_dx) {
    detail::expect_extents<T>(gradients.dx, "dx", in.rows, down.cols);
  }
  if (want_da) {
    detail::expect_extents<AccumulatorOf<T>>(gradients.da, "dA", rank, down.cols);
  }
  if (want_db) {
    detail::expect_extents<AccumulatorOf<T>>(gradients.db, "dB", up.rows, rank);
    detail::expect_extents<T const>(z, "z", in.rows, rank);
  }
  Frame const frame(ctx.scratch());
  auto const dz = rows_of<T>(ctx.scratch().template matrix<T, Exec>(in.rows, rank));
  auto const work = ctx.scratch().template vector<AccumulatorOf<T>, Exec>(
      transposed_product_scratch<Exec>(in.rows, rank, std::max(up.rows, down.cols)));
  if (want_db) {
    transposed_product<T>(ctx, out, z, gradients.db, work.data(), {scale, gradients.beta});
  }
  if (!want_dx && !want_da) {
    return;
  }
  multiply(ctx, Op::none, out, Op::none, up, dz, {scale, 0});
  if (want_da) {
    transposed_product<T>(ctx, read_only(dz), in, gradients.da, work.data(), {1, gradients.beta});
  }
  if (want_dx) {
    multiply(ctx, Op::none, read_only(dz), Op::none, down, gradients.dx, {1, gradients.dx_beta});
  }
}

/// W += scale B A. W [m, n]. Asynchronous.
template <class Exec, class Provider, class A, class B, class W>
void low_rank_fuse(Context<Exec, Provider>& ctx, double scale, A const& a, B const& b, W const& w) {
  linalg::gemm(ctx, linalg::Op::none, b, linalg::Op::none, a, w, {scale, 1});
}

}  // namespace dashi::kernels
