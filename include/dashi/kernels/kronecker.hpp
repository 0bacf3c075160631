// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/core/context.hpp>
#include <dashi/kernels/kronecker_fuse.hpp>
#include <dashi/kernels/kronecker_mix.hpp>
#include <dashi/kernels/kronecker_shape.hpp>
#include <dashi/kernels/row_products.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <algorithm>
#include <cstddef>

namespace dashi::kernels {

namespace detail {

/// Rows of x worked on before the next ones, so that what lies between the two steps stays in the
/// second-level caches of a few cores; a multiple of 64, everything on devices. Depends on sizes
/// only, because sums over rows are cut here.
template <class T, class Exec>
Index kronecker_tile(KroneckerShape const& shape, KroneckerPath order, Index rows) {
  if constexpr (runs_on_host<Exec>) {
    constexpr Index cached = Index{2} << 20;
    Index const row = static_cast<Index>(sizeof(T)) * std::max<Index>(1, shape.between(order));
    return std::max<Index>(64, cached / row / 64 * 64);
  } else {
    return std::max<Index>(rows, 1);
  }
}

/// Rows of a tile that the steps take at once. One thread takes so few that what a step leaves is
/// still in its second-level cache for the next one; several threads take the tile, since starting
/// them that often costs more. No sum is cut by it.
template <class T, class Exec>
Index kronecker_stride(Exec const& exec, KroneckerShape const& shape, KroneckerPath order,
                       Index tile) {
  if (!runs_on_host<Exec> || exec.concurrency() > 1) {
    return tile;
  }
  constexpr Index cached = Index{1} << 18;
  Index const row = static_cast<Index>(sizeof(T)) * std::max<Index>(1, shape.between(order));
  return std::min(tile, std::max<Index>(64, cached / row / 64 * 64));
}

template <class T, class Exec>
struct KroneckerScratch {
  MatrixOf<T, Exec> between;  ///< a tile's rows between the two steps
  MatrixOf<T, Exec> change;   ///< scale A ⊗ B
  VectorOf<AccumulatorOf<T>, Exec> weights;

  static KroneckerScratch take(Arena& arena, KroneckerShape const& shape, KroneckerPath path,
                               Index rows, bool saved) {
    KroneckerScratch s;
    if (path == KroneckerPath::materialised) {
      s.change = arena.matrix<T, Exec>(shape.out(), shape.in());
      return s;
    }
    s.weights = arena.vector<AccumulatorOf<T>, Exec>(shape.m1 * shape.n1);
    if (!saved) {
      s.between = arena.matrix<T, Exec>(std::min(rows, kronecker_tile<T, Exec>(shape, path, rows)),
                                        shape.between(path));
    }
    return s;
  }
};

}  // namespace detail

/// Bytes of ctx.scratch() that kronecker_apply takes for `rows` rows of x; `saved` says whether it
/// is given memory for what the adjoint wants again.
template <class T, class Exec>
std::size_t kronecker_apply_scratch(KroneckerShape const& shape, KroneckerPath path, Index rows,
                                    bool saved = false) {
  Arena measuring;
  detail::KroneckerScratch<T, Exec>::take(measuring, shape, path, rows, saved);
  return measuring.peak();
}

/// y += scale (A ⊗ B) x for every row of x: y[t, i1 m2 + i2] += scale Σ A[i1, j1] B[i2, j2]
/// x[t, j1 n2 + j2]. DiffuseKronA, arXiv 2402.17412, section 3.
///
/// A [m1, n1], B [m2, n2], x [T, n1 n2], y [T, m1 m2]: row-major, rows any distance apart, one
/// element type. The factored paths never form A ⊗ B: a row of x is a matrix [n1, n2], so that
/// y = A X B', a tall product with B (no copy: T n1 rows of n2 numbers) and a mix of neighbouring
/// rows by A, in either order; docs/maths/kronecker.md counts them. `saved` [T, between(path)], if
/// given, receives what lies between the steps, for kronecker_adjoint. Sums that are ours (the mix)
/// give the same bits on any number of threads. Takes kronecker_apply_scratch bytes.
/// Asynchronous.
template <class Exec, class Provider, class A, class B, class X, class Y>
void kronecker_apply(Context<Exec, Provider>& ctx, KroneckerPath path, double scale, A const& a,
                     B const& b, X const& x, Y const& y,
                     RowsArgument<typename Y::non_const_value_type, Exec> const& saved = {}) {
  using T = typename Y::non_const_value_type;
  using linalg::Op;
  RowsOf<T const, Exec> const left(a);
  RowsOf<T const, Exec> const right(b);
  RowsOf<T const, Exec> const in(x);
  RowsOf<T, Exec> const out(y);
  KroneckerShape const shape = detail::shape_of<T>(left, right);
  Index const rows = in.rows;
  detail::expect_extents<T const>(in, "x", rows, shape.in());
  detail::expect_extents<T>(out, "y", rows, shape.out());
  if (saved.given()) {
    detail::expect_extents<T>(saved, "saved", rows, shape.between(path));
  }
  if (rows == 0 || shape.out() == 0 || shape.in() == 0) {
    return;
  }
  Frame const frame(ctx.scratch());
  auto const scratch =
      detail::KroneckerScratch<T, Exec>::take(ctx.scratch(), shape, path, rows, saved.given());
  if (path == KroneckerPath::materialised) {
    auto const change = rows_of<T>(scratch.change);
    detail::run_fuse<T>(ctx, scale, left, right, Rows<T const>{}, change);
    multiply(ctx, Op::none, in, Op::transpose, read_only<T>(change), out, {1, 1});
    return;
  }
  bool const b_first = path == KroneckerPath::b_first;
  mix_weights<T>(ctx, left, false, b_first ? scale : 1.0, scratch.weights.data());
  Index const tile = detail::kronecker_stride<T>(
      ctx.exec(), shape, path, detail::kronecker_tile<T, Exec>(shape, path, rows));
  for (Index first = 0; first < rows; first += tile) {
    Index const count = std::min(tile, rows - first);
    Rows<T const> const x_tile = some_rows<T const>(in, first, count);
    Rows<T> const y_tile = some_rows<T>(out, first, count);
    Rows<T> const between = saved.given() ? some_rows<T>(saved, first, count)
                                          : some_rows(rows_of<T>(scratch.between), 0, count);
    if (b_first) {
      multiply_blocks<Exec, Provider, T>(ctx, shape.n1, x_tile, Op::transpose, right, between, {});
      mix<T>(ctx, scratch.weights.data(), shape.m1, shape.n1, read_only<T>(between), y_tile, true);
    } else {
      mix<T>(ctx, scratch.weights.data(), shape.m1, shape.n1, x_tile, between, false);
      multiply_blocks<Exec, Provider, T>(ctx, shape.m1, read_only<T>(between), Op::transpose, right,
                                         y_tile, {scale, 1});
    }
  }
}

}  // namespace dashi::kernels
