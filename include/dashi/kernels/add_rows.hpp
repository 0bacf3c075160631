// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/run_tasks.hpp>
#include <dashi/kernels/storage_chunk.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <string>

namespace dashi::kernels {

namespace detail {

template <class T>
struct AddRowsKernel {
  Rows<T const> x;
  Rows<T> y;
  RowPieces pieces;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    using C = StorageChunk<Lanes, Bytes, T>;
    for (Index task = begin; task < end; ++task) {
      auto const [row, first, last] = pieces.piece(task);
      T const* const from = x.row(row % x.rows);
      T* const to = y.row(row);
      Index at = first;
      for (; at + C::size <= last; at += C::size) {
        add<C>(from + at, to + at, AllOfIt{});
      }
      if (at < last) {
        add<C>(from + at, to + at, last - at);
      }
    }
  }

private:
  template <class C, class Elements>
  KOKKOS_FORCEINLINE_FUNCTION static void add(T const* from, T* to, Elements elements) {
    C sum = C::load(to, elements);
    sum.add_product(C::splat(1), C::load(from, elements));
    sum.store(to, elements);
  }
};

}  // namespace detail

/// y[r] += x[r mod rows of x]: a term that all samples share, such as a position embedding.
/// x [period, cols], y [rows, cols], rows a multiple of period; rounded once. Asynchronous.
template <class Exec, class Provider, class X, class Y>
void add_rows(Context<Exec, Provider>& ctx, X const& x, Y const& y) {
  using T = typename Y::value_type;
  RowsOf<T const, Exec> const from(x);
  RowsOf<T, Exec> const to(y);
  DASHI_EXPECTS(
      from.cols == to.cols && (to.rows == 0 || (from.rows > 0 && to.rows % from.rows == 0)),
      "add_rows: x is " + std::to_string(from.rows) + " x " + std::to_string(from.cols) + ", y " +
          std::to_string(to.rows) + " x " + std::to_string(to.cols) +
          "; expected as many columns, and rows that divide those of y");
  RowPieces const pieces = row_pieces<Exec>(to.cols);
  run_tasks("dashi::kernels::add_rows", ctx.exec(), to.rows * pieces.per_row,
            detail::AddRowsKernel<T>{from, to, pieces});
}

}  // namespace dashi::kernels
