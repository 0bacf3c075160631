// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/kernels/kronecker_dots_and_mix.hpp>
#include <dashi/kernels/kronecker_shape.hpp>
#include <dashi/kernels/row_products.hpp>
#include <dashi/kernels/transposed_product.hpp>

// The adjoint of a Kronecker product on some rows, in either order.
namespace dashi::kernels::detail {

/// Some rows of an adjoint, and where their part of dA's sums goes.
template <class T>
struct KroneckerAdjointTile {
  Rows<T const> x, dy;
  Rows<T> dx;        ///< data null: not wanted
  Rows<T> backward;  ///< half the way from dy to dx
  Rows<T> again;     ///< half the way from x to y
  AccumulatorOf<T>* dots;

  /// Rows [first, first + count), whose dots begin at `part`.
  KroneckerAdjointTile rows(Index first, Index count, AccumulatorOf<T>* part) const {
    return {some_rows<T const>(x, first, count),
            some_rows<T const>(dy, first, count),
            dx.data == nullptr ? dx : some_rows(dx, first, count),
            some_rows(backward, first, count),
            some_rows(again, first, count),
            part};
  }
};

/// What all tiles have in common.
template <class T>
struct KroneckerAdjointWork {
  using Acc = AccumulatorOf<T>;
  KroneckerShape shape;
  Rows<T const> b;
  Acc const* weights;     ///< A
  Acc const* transposed;  ///< scale A'
  double scale, dx_beta;
  bool saved, want_da, want_db;
  Rows<Acc> db;
  Acc* parts;
};

/// What is wanted of block_dots_and_mix.
template <class T, class Exec, class Provider>
void dots_or_mix(Context<Exec, Provider>& ctx, bool want_dots, Rows<T const> x, Index left,
                 Rows<T const> y, Index right, AccumulatorOf<T>* partial, bool want_mix,
                 AccumulatorOf<T> const* weights, Index outputs, Index inputs, Rows<T const> in,
                 Rows<T> out) {
  if (want_dots && want_mix) {
    block_dots_and_mix<T>(ctx, x, left, y, right, partial, weights, outputs, inputs, in, out);
  } else if (want_dots) {
    block_dots<T>(ctx, x, left, y, right, partial);
  } else if (want_mix) {
    mix<T>(ctx, weights, outputs, inputs, in, out, false);
  }
}

/// Z = A' G in blocks; dx = Z B, dA = G U'; dB = Z' X comes later, for more rows at once.
template <class T, class Exec, class Provider>
void adjoint_b_first(Context<Exec, Provider>& ctx, KroneckerAdjointWork<T> const& work,
                     KroneckerAdjointTile<T> const& tile) {
  using linalg::Op;
  KroneckerShape const& s = work.shape;
  bool const want_dx = tile.dx.data != nullptr;
  if (work.want_da && !work.saved) {
    multiply_blocks<Exec, Provider, T>(ctx, s.n1, tile.x, Op::transpose, work.b, tile.again, {});
  }
  dots_or_mix(ctx, work.want_da, tile.dy, s.m1, read_only(tile.again), s.n1, tile.dots,
              want_dx || work.want_db, work.transposed, s.n1, s.m1, tile.dy, tile.backward);
  if (want_dx) {
    multiply_blocks<Exec, Provider, T>(ctx, s.n1, read_only(tile.backward), Op::none, work.b,
                                       tile.dx, {1, work.dx_beta});
  }
}

/// H = G B in blocks; dx = A' H, dA = H X'; V for dB = G' V.
template <class T, class Exec, class Provider>
void adjoint_a_first(Context<Exec, Provider>& ctx, KroneckerAdjointWork<T> const& work,
                     KroneckerAdjointTile<T> const& tile) {
  using linalg::Op;
  KroneckerShape const& s = work.shape;
  bool const want_dx = tile.dx.data != nullptr;
  if (want_dx || work.want_da) {
    multiply_blocks<Exec, Provider, T>(ctx, s.m1, tile.dy, Op::none, work.b, tile.backward, {});
  }
  if (want_dx) {
    mix<T>(ctx, work.transposed, s.n1, s.m1, read_only(tile.backward), tile.dx, work.dx_beta == 1);
  }
  dots_or_mix(ctx, work.want_da, read_only(tile.backward), s.m1, tile.x, s.n1, tile.dots,
              work.want_db && !work.saved, work.weights, s.m1, s.n1, tile.x, tile.again);
}

/// dB of a tile: Z' X or G' V.
template <class T, class Exec, class Provider>
void adjoint_second_factor(Context<Exec, Provider>& ctx, KroneckerPath order,
                           KroneckerAdjointWork<T> const& work, KroneckerAdjointTile<T> const& tile,
                           double beta) {
  if (order == KroneckerPath::b_first) {
    transposed_block_product<T>(ctx, work.shape.n1, read_only(tile.backward), tile.x, work.db,
                                work.parts, {1, beta});
  } else {
    transposed_block_product<T>(ctx, work.shape.m1, tile.dy, read_only(tile.again), work.db,
                                work.parts, {work.scale, beta});
  }
}

}  // namespace dashi::kernels::detail
