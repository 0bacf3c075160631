// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/kronecker_shape.hpp>
#include <dashi/kernels/row_products.hpp>
#include <dashi/kernels/run_tasks.hpp>
#include <dashi/kernels/storage_chunk.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <string>

namespace dashi::kernels {

namespace detail {

/// out = base + scale A ⊗ B. One task on a host is a row of W, against which one row of B stays in
/// the first-level cache; on a device a few neighbours of one.
template <class T>
struct FuseKernel {
  using Acc = AccumulatorOf<T>;
  Rows<T const> a, b, base;  ///< base.data null: nothing is added to
  Rows<T> out;
  Acc scale;
  bool whole_rows;
  Index piece;  ///< elements of a task that is not a whole row

  KOKKOS_INLINE_FUNCTION Index pieces() const { return (b.cols + piece - 1) / piece; }
  KOKKOS_INLINE_FUNCTION Index tasks() const {
    return whole_rows ? out.rows : out.rows * a.cols * pieces();
  }

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index task = begin; task < end; ++task) {
      if (whole_rows) {
        for (Index j = 0; j < a.cols; ++j) {
          segment<Lanes, Bytes>(task, j, 0, b.cols);
        }
      } else {
        Index const rest = task / pieces();
        Index const from = (task - rest * pieces()) * piece;
        Index const row = rest / a.cols;
        Index const to = from + piece < b.cols ? from + piece : b.cols;
        segment<Lanes, Bytes>(row, rest - row * a.cols, from, to);
      }
    }
  }

private:
  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void segment(Index row, Index j, Index from, Index to) const {
    using Whole = StorageChunk<Lanes, Bytes, T>;
    using Half = StorageChunk<Lanes, Bytes / 2, T>;
    Index const block = row / b.rows;
    Acc const factor = scale * convert<Acc>(a.row(block)[j]);
    T const* const right = b.row(row - block * b.rows);
    Index const start = j * b.cols;
    Index at = from;
    for (; at + Whole::size <= to; at += Whole::size) {
      step<Whole>(row, start + at, factor, right + at, AllOfIt{});
    }
    for (; at + Half::size <= to; at += Half::size) {
      step<Half>(row, start + at, factor, right + at, AllOfIt{});
    }
    if (at < to) {
      step<Half>(row, start + at, factor, right + at, to - at);
    }
  }

  template <class C, class Elements>
  KOKKOS_FORCEINLINE_FUNCTION void step(Index row, Index at, Acc factor, T const* right,
                                        Elements count) const {
    C::Part::prefetch(base.data == nullptr ? out.row(row) + at : base.row(row) + at);
    C result = base.data == nullptr ? C::splat(0) : C::load(base.row(row) + at, count);
    result.add_product(C::splat(factor), C::load(right, count));
    result.store(out.row(row) + at, count);
  }
};

template <class T>
KroneckerShape shape_of(Rows<T const> const& a, Rows<T const> const& b) {
  return {a.rows, a.cols, b.rows, b.cols};
}

template <class T, class Exec, class Provider>
void run_fuse(Context<Exec, Provider>& ctx, double scale, Rows<T const> a, Rows<T const> b,
              Rows<T const> base, Rows<T> out) {
  if (out.rows == 0 || out.cols == 0) {
    return;
  }
  FuseKernel<T> const kernel{a,
                             b,
                             base,
                             out,
                             static_cast<AccumulatorOf<T>>(scale),
                             runs_on_host<Exec>,
                             Index{32 / sizeof(AccumulatorOf<T>)}};
  run_tasks("dashi::kernels::kronecker_fuse", ctx.exec(), kernel.tasks(), kernel);
}

}  // namespace detail

/// W += scale A ⊗ B, in place and in one pass: element (i1 m2 + i2, j1 n2 + j2) gets
/// scale A[i1, j1] B[i2, j2], each rounded once.
///
/// A [m1, n1], B [m2, n2], W [m1 m2, n1 n2]: row-major, rows any distance apart, one element type
/// (double, float, BFloat16, Float16). Reads and writes W once, 2 FLOP an element. Asynchronous.
template <class Exec, class Provider, class A, class B, class W>
void kronecker_fuse(Context<Exec, Provider>& ctx, double scale, A const& a, B const& b,
                    W const& w) {
  using T = typename W::non_const_value_type;
  RowsOf<T const, Exec> const left(a);
  RowsOf<T const, Exec> const right(b);
  RowsOf<T, Exec> const out(w);
  KroneckerShape const shape = detail::shape_of<T>(left, right);
  detail::expect_extents<T>(out, "W", shape.out(), shape.in());
  detail::run_fuse<T>(ctx, scale, left, right, read_only<T>(out), out);
}

/// merged = W + scale A ⊗ B, the weight that a merged layer multiplies with; W is unchanged. May
/// be given merged = W. As kronecker_fuse. Asynchronous.
template <class Exec, class Provider, class A, class B, class W, class Merged>
void kronecker_merge(Context<Exec, Provider>& ctx, double scale, A const& a, B const& b, W const& w,
                     Merged const& merged) {
  using T = typename Merged::non_const_value_type;
  RowsOf<T const, Exec> const left(a);
  RowsOf<T const, Exec> const right(b);
  RowsOf<T const, Exec> const base(w);
  RowsOf<T, Exec> const out(merged);
  KroneckerShape const shape = detail::shape_of<T>(left, right);
  detail::expect_extents<T const>(base, "W", shape.out(), shape.in());
  detail::expect_extents<T>(out, "the merged weight", shape.out(), shape.in());
  detail::run_fuse<T>(ctx, scale, left, right, base, out);
}

}  // namespace dashi::kernels
