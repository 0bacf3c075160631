// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/core/context.hpp>
#include <dashi/kernels/kronecker.hpp>
#include <dashi/kernels/kronecker_adjoint_tiles.hpp>
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

template <class T, class Exec>
void expect_kronecker_adjoint(KroneckerShape const& s, Rows<T const> const& x,
                              Rows<T const> const& dy, KroneckerGradients<T, Exec> const& gradients,
                              Rows<T> const& saved, KroneckerPath order) {
  using Acc = AccumulatorOf<T>;
  expect_extents<T const>(x, "x", x.rows, s.in());
  expect_extents<T const>(dy, "dy", x.rows, s.out());
  DASHI_EXPECTS(gradients.dx_beta == 0 || gradients.dx_beta == 1, "dx_beta must be 0 or 1");
  if (gradients.dx.given()) {
    expect_extents<T>(gradients.dx, "dx", x.rows, s.in());
  }
  if (gradients.da.given()) {
    expect_extents<Acc>(gradients.da, "dA", s.m1, s.n1);
  }
  if (gradients.db.given()) {
    expect_extents<Acc>(gradients.db, "dB", s.m2, s.n2);
  }
  if (saved.given()) {
    expect_extents<T>(saved, "saved", x.rows, s.between(order));
  }
}

/// What is left of the gradients' old values where x or a factor is empty and so all sums are.
template <class T, class Exec, class Provider>
void scale_gradients(Context<Exec, Provider>& ctx, KroneckerGradients<T, Exec> const& gradients) {
  using linalg::Op;
  Rows<T const> const none{nullptr, gradients.dx.rows, 0, 0};
  Rows<T const> const nothing{nullptr, 0, gradients.dx.cols, gradients.dx.cols};
  multiply(ctx, Op::none, none, Op::none, nothing, plain<T>(gradients.dx), {1, gradients.dx_beta});
  tree_sum<AccumulatorOf<T>>(ctx, nullptr, 0, 0, gradients.beta, gradients.da);
  tree_sum<AccumulatorOf<T>>(ctx, nullptr, 0, 0, gradients.beta, gradients.db);
}

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
/// dW is never formed. dA sums over T m2 (or T n2) numbers by a split and a tree of ours that
/// depend on the extents alone; on hosts the sums within a part are ours too: the same bits on any
/// number of threads, given what lies between the steps. dB is a product over T n1 (or T m1) rows:
/// on hosts the provider's, one a kronecker_tile, whose split is its own; on devices its products
/// of 2048 rows, added by our tree. `path` is that of dx; materialised takes the gradients in
/// shape.cheaper_order(). `saved`: what kronecker_apply kept in that order; empty: computed again.
/// Shapes as there, dy [T, m1 m2], dx [T, n1 n2], dA and dB of accumulator type. Takes
/// kronecker_adjoint_scratch bytes. Asynchronous.
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
  Index const rows = in.rows;
  bool const want_dx = gradients.dx.given();
  detail::expect_kronecker_adjoint<T, Exec>(shape, in, out, gradients, saved, order);
  if (rows == 0 || shape.in() == 0 || shape.out() == 0) {
    detail::scale_gradients<T>(ctx, gradients);
    return;
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
  mix_weights<T>(ctx, left, false, 1.0, scratch.weights.data());
  mix_weights<T>(ctx, left, true, scale, scratch.transposed.data());
  detail::KroneckerAdjointWork<T> const work{shape,
                                             right,
                                             scratch.weights.data(),
                                             scratch.transposed.data(),
                                             scale,
                                             gradients.dx_beta,
                                             saved.given(),
                                             gradients.da.given(),
                                             gradients.db.given(),
                                             gradients.db,
                                             scratch.parts.data()};
  Index const step = detail::kronecker_tile<T, Exec>(shape, order, rows);
  Index const stride = detail::kronecker_stride<T>(ctx.exec(), shape, order, step);
  auto const dots_of = [&](Index row) {
    return scratch.dots.data() + block_dot_terms<Exec>(row) * shape.m1 * shape.n1;
  };
  for (Index first = 0; first < rows; first += step) {
    Index const count = std::min(step, rows - first);
    detail::KroneckerAdjointTile<T> tile;
    tile.x = some_rows<T const>(in, first, count);
    tile.dy = some_rows<T const>(out, first, count);
    tile.dx = want_dx && !formed ? some_rows<T>(gradients.dx, first, count) : Rows<T>{};
    tile.backward = some_rows(rows_of<T>(scratch.backward), 0, count);
    tile.again = saved.given() ? some_rows<T>(saved, first, count)
                               : some_rows(rows_of<T>(scratch.again), 0, count);
    for (Index at = 0; at < count; at += stride) {
      auto const part = tile.rows(at, std::min(stride, count - at), dots_of(first + at));
      if (order == KroneckerPath::b_first) {
        detail::adjoint_b_first(ctx, work, part);
      } else {
        detail::adjoint_a_first(ctx, work, part);
      }
    }
    if (work.want_db) {
      detail::adjoint_second_factor(ctx, order, work, tile, first == 0 ? gradients.beta : 1);
    }
  }
  if (work.want_da) {
    tree_sum<AccumulatorOf<T>>(ctx, scratch.dots.data(), block_dot_terms<Exec>(rows), scale,
                               gradients.beta, gradients.da);
  }
}

}  // namespace dashi::kernels
