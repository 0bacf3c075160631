// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/core/context.hpp>
#include <dashi/kernels/kronecker.hpp>
#include <dashi/kernels/kronecker_dot.hpp>
#include <dashi/kernels/transposed_product.hpp>
#include <dashi/kernels/tree_sum.hpp>

#include <algorithm>
#include <cstddef>

namespace dashi::kernels {

/// What kronecker_adjoint is to compute; what is left empty is not.
template <class T, class Exec>
struct KroneckerGradients {
  RowsOf<T, Exec> dx{};
  double dx_beta = 0;  ///< 0: dx is written, 1: added to
  RowsOf<AccumulatorOf<T>, Exec> da{};
  RowsOf<AccumulatorOf<T>, Exec> db{};
  double beta = 0;  ///< da and db become beta times themselves plus their gradient
};

namespace detail {

template <class T, class Exec>
struct KroneckerAdjointScratch {
  using Acc = AccumulatorOf<T>;
  VectorOf<Acc, Exec> weights;        ///< A
  VectorOf<Acc, Exec> transposed;     ///< scale A'
  MatrixOf<T, Exec> again, backward;  ///< a tile's rows between the steps, of y and of dx
  VectorOf<Acc, Exec> dots, parts;
  MatrixOf<T, Exec> change;

  static KroneckerAdjointScratch take(Arena& arena, KroneckerShape const& shape, KroneckerPath path,
                                      Index rows, bool saved) {
    KroneckerAdjointScratch s;
    bool const formed = path == KroneckerPath::materialised;
    KroneckerPath const order = formed ? shape.cheaper_order() : path;
    bool const a_first = order == KroneckerPath::a_first;
    Index const between = shape.between(order);
    Index const tile = std::min(rows, kronecker_tile<T, Exec>(shape, order, rows));
    s.weights = arena.vector<Acc, Exec>(shape.m1 * shape.n1);
    s.transposed = arena.vector<Acc, Exec>(shape.m1 * shape.n1);
    s.again = arena.matrix<T, Exec>(saved ? 0 : tile, between);
    s.backward = arena.matrix<T, Exec>(tile, between);
    s.dots = arena.vector<Acc, Exec>(block_dot_terms<Exec>(rows) * shape.m1 * shape.n1);
    s.parts = arena.vector<Acc, Exec>(transposed_product_scratch<Exec>(
        rows * (a_first ? shape.m1 : shape.n1), shape.m2, shape.n2));
    s.change = arena.matrix<T, Exec>(formed ? shape.out() : 0, shape.in());
    return s;
  }
};

}  // namespace detail

/// Bytes of ctx.scratch() that kronecker_adjoint takes for `rows` rows.
template <class T, class Exec>
std::size_t kronecker_adjoint_scratch(KroneckerShape const& shape, KroneckerPath path, Index rows,
                                      bool saved = false) {
  Arena measuring;
  detail::KroneckerAdjointScratch<T, Exec>::take(measuring, shape, path, rows, saved);
  return measuring.peak();
}

/// The adjoint of kronecker_apply: with G = dy and Z = (A' ⊗ I) G in blocks,
/// dx += scale (A ⊗ B)' dy, dA[i, j] += scale Σ_t G[t, i, :] · (B x)[t, j, :],
/// dB += scale Σ_t,j Z[t, j, :]' x[t, j, :], and likewise in the other order.
///
/// dW is never formed: dB is a product over T n1 (or T m1) rows, dA one over T m2 (or T n2)
/// numbers, both summed over a split and by a tree that depend on the extents alone. `path` is that
/// of dx; materialised takes the gradients in shape.cheaper_order(). `saved`: what kronecker_apply
/// kept in that order; empty: computed again. Shapes as there, dy [T, m1 m2], dx [T, n1 n2], dA and
/// dB of accumulator type. Takes kronecker_adjoint_scratch bytes. Asynchronous.
template <class Exec, class Provider, class A, class B, class X, class DY>
void kronecker_adjoint(Context<Exec, Provider>& ctx, KroneckerPath path, double scale, A const& a,
                       B const& b, X const& x, DY const& dy,
                       KroneckerGradients<typename X::non_const_value_type, Exec> const& gradients,
                       RowsArgument<typename X::non_const_value_type, Exec> const& saved = {}) {
  using T = typename X::non_const_value_type;
  using linalg::Op;
  RowsOf<T const, Exec> const left(a);
  RowsOf<T const, Exec> const right(b);
  RowsOf<T const, Exec> const in(x);
  RowsOf<T const, Exec> const out(dy);
  KroneckerShape const shape = detail::shape_of<T>(left, right);
  bool const formed = path == KroneckerPath::materialised;
  KroneckerPath const order = formed ? shape.cheaper_order() : path;
  bool const b_first = order == KroneckerPath::b_first;
  Index const rows = in.rows;
  bool const want_dx = gradients.dx.given();
  bool const want_da = gradients.da.given();
  bool const want_db = gradients.db.given();
  detail::expect_extents<T const>(in, "x", rows, shape.in());
  detail::expect_extents<T const>(out, "dy", rows, shape.out());
  DASHI_EXPECTS(gradients.dx_beta == 0 || gradients.dx_beta == 1, "dx_beta must be 0 or 1");
  if (want_dx) {
    detail::expect_extents<T>(gradients.dx, "dx", rows, shape.in());
  }
  if (want_da) {
    detail::expect_extents<AccumulatorOf<T>>(gradients.da, "dA", shape.m1, shape.n1);
  }
  if (want_db) {
    detail::expect_extents<AccumulatorOf<T>>(gradients.db, "dB", shape.m2, shape.n2);
  }
  if (saved.given()) {
    detail::expect_extents<T>(saved, "saved", rows, shape.between(order));
  }

  Frame const frame(ctx.scratch());
  auto const scratch = detail::KroneckerAdjointScratch<T, Exec>::take(ctx.scratch(), shape, path,
                                                                      rows, saved.given());
  if (formed && want_dx) {
    auto const change = rows_of<T>(scratch.change);
    detail::run_fuse<T>(ctx, scale, left, right, Rows<T const>{}, change);
    multiply(ctx, Op::none, out, Op::none, read_only<T>(change), gradients.dx,
             {1, gradients.dx_beta});
  }
  bool const mixed_dx = want_dx && !formed;
  // What is multiplied with x (or with what lies between) to give dB, and is half the way to dx.
  bool const want_backward = mixed_dx || (b_first ? want_db : want_da);
  bool const want_again = b_first ? want_da : want_db;
  mix_weights<T>(ctx, left, false, 1.0, scratch.weights.data());
  mix_weights<T>(ctx, left, true, scale, scratch.transposed.data());

  double db_beta = gradients.beta;
  Index const tile = detail::kronecker_tile<T, Exec>(shape, order, rows);
  for (Index first = 0; first < rows; first += tile) {
    Index const count = std::min(tile, rows - first);
    Rows<T const> const x_tile = some_rows<T const>(in, first, count);
    Rows<T const> const dy_tile = some_rows<T const>(out, first, count);
    Rows<T> const dx_tile = mixed_dx ? some_rows<T>(gradients.dx, first, count) : Rows<T>{};
    Rows<T> const backward = some_rows(rows_of<T>(scratch.backward), 0, count);
    Rows<T> const again = saved.given() ? some_rows<T>(saved, first, count)
                                        : some_rows(rows_of<T>(scratch.again), 0, count);
    if (b_first && want_backward) {
      mix<T>(ctx, scratch.transposed.data(), shape.n1, shape.m1, dy_tile, backward, false);
    } else if (want_backward) {
      multiply_blocks<Exec, Provider, T>(ctx, shape.m1, dy_tile, Op::none, right, backward, {});
    }
    if (b_first && want_again && !saved.given()) {
      multiply_blocks<Exec, Provider, T>(ctx, shape.n1, x_tile, Op::transpose, right, again, {});
    } else if (want_again && !saved.given()) {
      mix<T>(ctx, scratch.weights.data(), shape.m1, shape.n1, x_tile, again, false);
    }
    if (b_first && mixed_dx) {
      multiply_blocks<Exec, Provider, T>(ctx, shape.n1, read_only(backward), Op::none, right,
                                         dx_tile, {1, gradients.dx_beta});
    } else if (mixed_dx) {
      mix<T>(ctx, scratch.transposed.data(), shape.n1, shape.m1, read_only(backward), dx_tile,
             gradients.dx_beta == 1);
    }
    if (want_da) {
      auto* const dots = scratch.dots.data() + block_dot_terms<Exec>(first) * shape.m1 * shape.n1;
      block_dots<T>(ctx, b_first ? dy_tile : read_only(backward), shape.m1,
                    b_first ? read_only(again) : x_tile, shape.n1, dots);
    }
    if (want_db) {
      transposed_block_product<T>(ctx, b_first ? shape.n1 : shape.m1,
                                  b_first ? read_only(backward) : dy_tile,
                                  b_first ? x_tile : read_only(again), gradients.db,
                                  scratch.parts.data(), {b_first ? 1 : scale, db_beta});
      db_beta = 1;
    }
  }
  if (want_da) {
    tree_sum<AccumulatorOf<T>>(ctx, scratch.dots.data(), block_dot_terms<Exec>(rows), scale,
                               gradients.beta, gradients.da);
  }
  if (want_db && rows == 0) {
    tree_sum<AccumulatorOf<T>>(ctx, nullptr, 0, 0, gradients.beta, gradients.db);
  }
}

}  // namespace dashi::kernels
