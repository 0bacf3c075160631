// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/core/context.hpp>
#include <dashi/kernels/accumulator.hpp>
#include <dashi/kernels/row_products.hpp>
#include <dashi/kernels/tree_sum.hpp>
#include <dashi/linalg/batched_gemm.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>

namespace dashi::kernels {

namespace detail {

/// Rows that one part of a split sum takes on devices, where a product with small extents and a
/// long sum would leave most of the machine idle. Hosts leave the sum to the backend.
inline constexpr Index split_rows = 2048;

template <class Exec>
Index split_parts(Index rows) {
  return runs_on_host<Exec> || rows < 2 * split_rows ? 1 : (rows + split_rows - 1) / split_rows;
}

/// Part s of a split sum: `split_rows` rows of the matrix.
template <class Exec, class T>
auto split_view(Rows<T const> const& rows, Index parts) {
  using View = Kokkos::View<T const***, Kokkos::LayoutStride, typename Exec::memory_space,
                            Kokkos::MemoryTraits<Kokkos::Unmanaged>>;
  auto const size = [](Index extent) { return static_cast<std::size_t>(extent); };
  return View(rows.data,
              Kokkos::LayoutStride(size(parts), size(split_rows * rows.stride), size(split_rows),
                                   size(rows.stride), size(rows.cols), 1));
}

}  // namespace detail

/// Numbers of scratch memory that transposed_product takes for a sum over `rows` rows.
template <class Exec>
Index transposed_product_scratch(Index rows, Index out_rows, Index out_cols) {
  Index const parts = detail::split_parts<Exec>(rows);
  return parts == 1 ? 0 : parts * out_rows * out_cols;
}

/// out = alpha left' right + beta out: a sum over many rows into a small matrix.
///
/// left [T, m], right [T, n], out [m, n] of accumulator type, `work` as transposed_product_scratch
/// says. On devices the sum is cut into parts of 2048 rows, a batch of products, which tree_sum
/// adds: the split depends on the extents alone. Asynchronous.
template <class T, class Exec, class Provider>
void transposed_product(Context<Exec, Provider>& ctx, Rows<T const> const& left,
                        Rows<T const> const& right, Rows<AccumulatorOf<T>> const& out,
                        AccumulatorOf<T>* work, linalg::Scale scale) {
  using linalg::Op;
  Index const parts = detail::split_parts<Exec>(left.rows);
  if (parts == 1) {
    multiply(ctx, Op::transpose, left, Op::none, right, out, scale);
    return;
  }
  Index const whole = left.rows / detail::split_rows;
  using Terms = Kokkos::View<AccumulatorOf<T>***, Kokkos::LayoutRight, typename Exec::memory_space,
                             Kokkos::MemoryTraits<Kokkos::Unmanaged>>;
  auto const size = [](Index extent) { return static_cast<std::size_t>(extent); };
  linalg::batched_gemm(ctx, Op::transpose, detail::split_view<Exec>(left, whole), Op::none,
                       detail::split_view<Exec>(right, whole),
                       Terms(work, size(whole), size(out.rows), size(out.cols)));
  if (whole < parts) {
    Index const first = whole * detail::split_rows;
    Rows<AccumulatorOf<T>> const last{work + whole * out.rows * out.cols, out.rows, out.cols,
                                      out.cols};
    multiply(ctx, Op::transpose, some_rows(left, first, left.rows - first), Op::none,
             some_rows(right, first, right.rows - first), last);
  }
  tree_sum(ctx, work, parts, scale.alpha, scale.beta, out);
}

/// The same for rows of `blocks` blocks, a sum over all blocks of all rows.
template <class T, class Exec, class Provider>
void transposed_block_product(Context<Exec, Provider>& ctx, Index blocks, Rows<T const> const& left,
                              Rows<T const> const& right, Rows<AccumulatorOf<T>> const& out,
                              AccumulatorOf<T>* work, linalg::Scale scale) {
  if (has_side_by_side_rows(left) && has_side_by_side_rows(right)) {
    transposed_product<T>(ctx, as_blocks(left, blocks), as_blocks(right, blocks), out, work, scale);
    return;
  }
  Index const left_width = left.cols / blocks;
  Index const right_width = right.cols / blocks;
  for (Index k = 0; k < blocks; ++k) {
    transposed_product<T>(ctx, some_columns(left, k * left_width, left_width),
                          some_columns(right, k * right_width, right_width), out, work, scale);
    scale.beta = 1;
  }
}

}  // namespace dashi::kernels
