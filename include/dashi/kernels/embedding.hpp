// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/accumulator.hpp>
#include <dashi/kernels/reduce_sums.hpp>
#include <dashi/kernels/run_tasks.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <cstdint>
#include <type_traits>

namespace dashi::kernels {

/// Classes of samples, and which of them are dropped in favour of the null class (classifier-free
/// guidance, arXiv 2207.12598).
template <class Exec>
struct Labels {
  VectorOf<std::int64_t const, Exec> classes;  ///< [samples], each a row of the table
  VectorOf<std::uint8_t const, Exec> dropped;  ///< [samples], 1 = take the null row; empty for none
  Index null_row = 0;                          ///< the row that stands for no class (DiT: the last)
};

namespace detail {

/// The labels as kernels see them.
struct LabelRows {
  std::int64_t const* classes;
  std::uint8_t const* dropped;  // null for none
  Index null_row;
  KOKKOS_FORCEINLINE_FUNCTION Index row(Index sample) const {
    return dropped != nullptr && dropped[sample] != 0 ? null_row : classes[sample];
  }
};

template <class Exec>
LabelRows label_rows(Labels<Exec> const& labels, Index samples, Index table_rows) {
  expect_size(labels.classes.extent(0), "classes of embedding", samples);
  bool const dropping = labels.dropped.extent(0) != 0;
  if (dropping) {
    expect_size(labels.dropped.extent(0), "dropped of embedding", samples);
    DASHI_EXPECTS(labels.null_row >= 0 && labels.null_row < table_rows,
                  "null_row of embedding is " + std::to_string(labels.null_row) +
                      ", the table has " + std::to_string(table_rows) + " rows");
  }
  return {labels.classes.data(), dropping ? labels.dropped.data() : nullptr, labels.null_row};
}

template <class T>
struct LookUpKernel {
  Rows<T const> table;
  LabelRows labels;
  Rows<T> out;
  RowPieces pieces;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index task = begin; task < end; ++task) {
      auto const [sample, first, last] = pieces.piece(task);
      Index const row = labels.row(sample);
      bool const known = row >= 0 && row < table.rows;
      T const nan = dashi::detail::same_bits<T>(FloatFormat<T>::nan);
      for (Index c = first; c < last; ++c) {
        out.row(sample)[c] = known ? table.row(row)[c] : nan;
      }
    }
  }
};

/// One piece of a row of the table: adds the gradients of its samples in their order.
template <class T, class Out>
struct LookUpAdjointKernel {
  using Real = AccumulatorOf<T>;
  Rows<T const> d_out;
  LabelRows labels;
  Rows<Out> d_table;
  RowPieces pieces;
  Real beta;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index task = begin; task < end; ++task) {
      auto const [row, first, last] = pieces.piece(task);
      for (Index c = first; c < last; c += pieces.width == 1 ? 1 : chunk_size) {
        add(row, c, last - c < chunk_size ? last - c : chunk_size);
      }
    }
  }

private:
  KOKKOS_FORCEINLINE_FUNCTION void add(Index row, Index c, Index count) const {
    Real total[static_cast<std::size_t>(chunk_size)];
    for (Index i = 0; i < count; ++i) {
      total[i] = beta == Real(0) ? Real(0) : beta * convert<Real>(d_table.row(row)[c + i]);
    }
    for (Index sample = 0; sample < d_out.rows; ++sample) {
      if (labels.row(sample) == row) {
        for (Index i = 0; i < count; ++i) {
          total[i] += widened(d_out.row(sample)[c + i]);
        }
      }
    }
    for (Index i = 0; i < count; ++i) {
      d_table.row(row)[c + i] = convert<Out>(total[i]);
    }
  }
};

struct ResolveLabels {
  LabelRows labels;
  Index classes;
  std::int64_t* out;
  KOKKOS_INLINE_FUNCTION void operator()(Index sample) const {
    Index const row = labels.row(sample);
    out[sample] = row >= 0 && row < classes ? row : classes;
  }
};

}  // namespace detail

/// out[n] = the class of n, or `classes` where it is dropped or no class. out [samples].
/// Asynchronous.
template <class Exec, class Provider>
void resolve_labels(Context<Exec, Provider>& ctx, Labels<Exec> labels, Index classes,
                    std::type_identity_t<VectorOf<std::int64_t, Exec>> out) {
  labels.null_row = classes;
  auto const samples = static_cast<Index>(out.extent(0));
  Kokkos::parallel_for(
      "dashi::kernels::resolve_labels",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(ctx.exec(), 0, samples),
      detail::ResolveLabels{detail::label_rows(labels, samples, classes + 1), classes, out.data()});
}

/// out[n] = table[class of n], the null row where it is dropped. table [rows, cols], out [samples,
/// cols]; a class that is no row gives NaN. Asynchronous.
template <class Exec, class Provider, class Table, class Out>
void look_up(Context<Exec, Provider>& ctx, Table const& table, Labels<Exec> const& labels,
             Out const& out) {
  using T = typename Out::value_type;
  RowsOf<T const, Exec> const from(table);
  RowsOf<T, Exec> const to(out);
  detail::expect_extents(from, "table of look_up", from.rows, to.cols);
  RowPieces const pieces = row_pieces<Exec>(to.cols);
  run_tasks(
      "dashi::kernels::look_up", ctx.exec(), to.rows * pieces.per_row,
      detail::LookUpKernel<T>{from, detail::label_rows(labels, to.rows, from.rows), to, pieces});
}

/// d_table[r] = beta d_table[r] + sum of d_out[n] over the samples n that took row r, in the order
/// of n: rows * samples comparisons. Every row is written. Asynchronous.
template <class Exec, class Provider, class DOut, class DTable>
void look_up_adjoint(Context<Exec, Provider>& ctx, DOut const& d_out, Labels<Exec> const& labels,
                     DTable const& d_table, double beta = 0) {
  using T = typename DOut::non_const_value_type;
  using Out = typename DTable::value_type;
  RowsOf<T const, Exec> const from(d_out);
  RowsOf<Out, Exec> const to(d_table);
  detail::expect_extents(from, "d_out of look_up_adjoint", from.rows, to.cols);
  RowPieces const pieces = row_pieces<Exec>(to.cols);
  run_tasks(
      "dashi::kernels::look_up_adjoint", ctx.exec(), to.rows * pieces.per_row,
      detail::LookUpAdjointKernel<T, Out>{from, detail::label_rows(labels, from.rows, to.rows), to,
                                          pieces, static_cast<AccumulatorOf<T>>(beta)});
}

}  // namespace dashi::kernels
