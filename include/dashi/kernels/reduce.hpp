// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/reduce_sums.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <cstddef>
#include <type_traits>

namespace dashi::kernels {

/// Bytes of scratch that sum and dot need for `count` elements.
template <class T>
std::size_t sum_scratch_bytes(Index count) {
  Arena measuring;
  detail::sum_levels<AccumulatorOf<T>, Kokkos::DefaultHostExecutionSpace>(measuring, count);
  return measuring.peak();
}

/// out[0] = sum of x, by a tree that only its length decides: the same bits on every host space
/// and number of threads. x: any length, stride 1; out: one element of AccumulatorOf<T>. Reads x
/// once. Asynchronous; takes sum_scratch_bytes<T>(length).
template <class Exec, class Provider, class X>
  requires AccessibleFrom<X, Exec> && VectorView<X>
void sum(Context<Exec, Provider>& ctx, X const& x,
         VectorOf<AccumulatorOf<typename X::non_const_value_type>, Exec> out) {
  detail::expect_size(out.extent(0), "out of sum", 1);
  using T = typename X::non_const_value_type;
  detail::sum_terms(ctx.exec(), ctx.scratch(), static_cast<Index>(x.extent(0)),
                    detail::ValueTerm<T>{x.data()}, out.data());
}

/// out[0] = sum of x[i] y[i], as sum does it.
template <class Exec, class Provider, class X, class Y>
  requires AccessibleFrom<X, Exec> && VectorView<X> && AccessibleFrom<Y, Exec> && VectorView<Y>
void dot(Context<Exec, Provider>& ctx, X const& x, Y const& y,
         VectorOf<AccumulatorOf<typename X::non_const_value_type>, Exec> out) {
  using T = typename X::non_const_value_type;
  static_assert(std::is_same_v<T, typename Y::non_const_value_type>,
                "dashi::kernels::dot: x and y must have the same element type");
  detail::expect_size(out.extent(0), "out of dot", 1);
  detail::expect_size(y.extent(0), "y of dot", static_cast<Index>(x.extent(0)));
  detail::sum_terms(ctx.exec(), ctx.scratch(), static_cast<Index>(x.extent(0)),
                    detail::ProductTerm<T>{x.data(), y.data()}, out.data());
}

/// Bytes of scratch for segment_sums of `segments` times `rows_per_segment` rows.
template <class T>
std::size_t segment_sums_scratch_bytes(Index segments, Index rows_per_segment, Index cols) {
  Arena measuring;
  detail::segment_levels<AccumulatorOf<T>, Kokkos::DefaultHostExecutionSpace>(
      measuring, segments, rows_per_segment, cols);
  return measuring.peak();
}

/// out[s, c] = beta out[s, c] + sum over the rows r of segment s of x[r, c]: gradients of what a
/// sample's rows share. x [segments * rows_per_segment, cols], out [segments, cols]; out is not
/// read when beta is 0. Fixed blocks of rows, a fixed tree over them. Asynchronous; takes
/// segment_sums_scratch_bytes.
template <class Exec, class Provider, class X, class Out>
void segment_sums(Context<Exec, Provider>& ctx, X const& x, Index rows_per_segment, Out const& out,
                  double beta = 0) {
  using T = typename X::non_const_value_type;
  RowsOf<T const, Exec> const from(x);
  RowsOf<typename Out::value_type, Exec> const to(out);
  detail::expect_extents(from, "x of segment_sums", to.rows * rows_per_segment, to.cols);
  detail::sum_segments(ctx.exec(), ctx.scratch(), static_cast<Rows<T const> const&>(from),
                       rows_per_segment, static_cast<Rows<typename Out::value_type> const&>(to),
                       static_cast<AccumulatorOf<T>>(beta));
}

/// out[c] = beta out[c] + sum over all rows of x[r, c]: the gradient of a bias.
template <class Exec, class Provider, class X, class Out>
  requires VectorView<Out> && AccessibleFrom<Out, Exec>
void column_sums(Context<Exec, Provider>& ctx, X const& x, Out const& out, double beta = 0) {
  auto const cols = static_cast<Index>(out.extent(0));
  auto const row =
      MatrixOf<typename Out::value_type, Exec>(out.data(), 1, static_cast<std::size_t>(cols));
  segment_sums(ctx, x, static_cast<Index>(x.extent(0)), row, beta);
}

}  // namespace dashi::kernels
