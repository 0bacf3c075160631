// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/kernels/strided_rows.hpp>
#include <dashi/linalg/gemm.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <type_traits>

namespace dashi::kernels {

/// RowsOf as a parameter to which views convert, because nothing is deduced from it.
template <class T, class Exec>
using RowsArgument = std::type_identity_t<RowsOf<T, Exec>>;

/// The same memory for reading only.
template <class T>
Rows<T const> read_only(Rows<T> const& rows) {
  return {rows.data, rows.rows, rows.cols, rows.stride};
}

/// Rows without the space that they live in.
template <class T>
Rows<T> plain(Rows<T> const& rows) {
  return rows;
}

/// Rows [first, first + count).
template <class T>
Rows<T> some_rows(Rows<T> rows, Index first, Index count) {
  rows.data += first * rows.stride;
  rows.rows = count;
  return rows;
}

/// Columns [first, first + count).
template <class T>
Rows<T> some_columns(Rows<T> rows, Index first, Index count) {
  rows.data += first;
  rows.cols = count;
  return rows;
}

/// Dense rows over memory.
template <class T, class Matrix>
Rows<T> rows_of(Matrix const& matrix) {
  return {matrix.data(), static_cast<Index>(matrix.extent(0)), static_cast<Index>(matrix.extent(1)),
          static_cast<Index>(matrix.extent(1))};
}

/// The rows as a view for linear algebra.
template <class Exec, class T>
auto view_of(Rows<T> const& rows) {
  using View = Kokkos::View<T**, Kokkos::LayoutStride, typename Exec::memory_space,
                            Kokkos::MemoryTraits<Kokkos::Unmanaged>>;
  auto const size = [](Index extent) { return static_cast<std::size_t>(extent); };
  return View(rows.data,
              Kokkos::LayoutStride(size(rows.rows), size(rows.stride), size(rows.cols), 1));
}

/// C = alpha op(A) op(B) + beta C on rows.
template <class Exec, class Provider, class A, class B, class C>
void multiply(Context<Exec, Provider>& ctx, linalg::Op op_a, Rows<A> const& a, linalg::Op op_b,
              Rows<B> const& b, Rows<C> const& c, linalg::Scale scale = {}) {
  linalg::gemm(ctx, op_a, view_of<Exec>(a), op_b, view_of<Exec>(b), view_of<Exec>(c), scale);
}

/// Rows of `blocks` blocks each as blocks, a row each: possible where rows lie side by side.
template <class T>
Rows<T> as_blocks(Rows<T> const& rows, Index blocks) {
  Index const width = rows.cols / blocks;
  return {rows.data, rows.rows * blocks, width, width};
}

template <class T>
bool has_side_by_side_rows(Rows<T> const& rows) {
  return rows.rows <= 1 || rows.stride == rows.cols;
}

/// out[t, k, :] = alpha in[t, k, :] op(B) + beta out[t, k, :] for each of the `blocks` blocks of
/// every row: one tall product, or one a block where rows lie apart. Asynchronous.
template <class Exec, class Provider, class T>
void multiply_blocks(Context<Exec, Provider>& ctx, Index blocks, Rows<T const> const& in,
                     linalg::Op op_b, Rows<T const> const& b, Rows<T> const& out,
                     linalg::Scale scale) {
  if (has_side_by_side_rows(in) && has_side_by_side_rows(out)) {
    multiply(ctx, linalg::Op::none, as_blocks(in, blocks), op_b, b, as_blocks(out, blocks), scale);
    return;
  }
  Index const in_width = in.cols / blocks;
  Index const out_width = out.cols / blocks;
  for (Index k = 0; k < blocks; ++k) {
    multiply(ctx, linalg::Op::none, some_columns(in, k * in_width, in_width), op_b, b,
             some_columns(out, k * out_width, out_width), scale);
  }
}

}  // namespace dashi::kernels
