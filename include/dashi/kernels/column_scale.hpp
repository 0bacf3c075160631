// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/run_tasks.hpp>
#include <dashi/kernels/storage_chunk.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <cstddef>
#include <cstdint>

// Passes over rows whose columns are scaled, by one vector or by one that depends on the sample.
namespace dashi::kernels {

/// Gates of samples: sample s, rows [s * rows_per_sample, ...), takes row labels[s] of `values`, or
/// row s when `labels` is empty. Empty values: every gate is one. Labels are not checked.
template <class T, class Exec>
struct SampleGates {
  RowsOf<T const, Exec> values{};  ///< [gates, r]
  VectorOf<std::int64_t const, Exec> labels{};
  Index rows_per_sample = 1;
};

namespace detail {

/// SampleGates as kernels see them.
template <class T>
struct GateRows {
  Rows<T const> values;
  std::int64_t const* labels;
  Index rows_per_sample;

  template <class Exec>
  static GateRows of(SampleGates<T, Exec> const& gates) {
    return {gates.values, gates.labels.extent(0) > 0 ? gates.labels.data() : nullptr,
            gates.rows_per_sample};
  }
  KOKKOS_INLINE_FUNCTION Index index(Index sample) const {
    return labels == nullptr ? sample : labels[sample];
  }
  /// Null where there are no gates.
  KOKKOS_INLINE_FUNCTION T const* of_sample(Index sample) const {
    return values.data == nullptr ? nullptr : values.row(index(sample));
  }
};

/// scale * gate at column `at`; each may be null.
template <class C, class T, class Elements>
KOKKOS_FORCEINLINE_FUNCTION C column_factor(T const* scale, T const* gate, Index at,
                                            Elements count) {
  C factor = scale == nullptr ? C::splat(1) : C::load(scale + at, count);
  if (gate != nullptr) {
    factor.multiply(C::load(gate + at, count));
  }
  return factor;
}

/// out[t, j] = in[t, j] scale[j] gate[t, j] + shift[j]; kept[t, j] = in[t, j].
template <class T>
struct ScaleColumns {
  Rows<T const> in;
  Rows<T> out;
  Rows<T> kept;  ///< data null: not wanted
  T const* scale;
  GateRows<T> gates;
  T const* shift;
  Index first_row;  ///< of the rows that the gates know, where `in` is only some of them
  RowPieces pieces;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    using C = StorageChunk<Lanes, Bytes, T>;
    for (Index task = begin; task < end; ++task) {
      auto const piece = pieces.piece(task);
      T const* const gate = gates.of_sample((first_row + piece.row) / gates.rows_per_sample);
      Index at = piece.first;
      for (; at + C::size <= piece.last; at += C::size) {
        step<C>(piece.row, at, gate, AllOfIt{});
      }
      if (at < piece.last) {
        step<C>(piece.row, at, gate, piece.last - at);
      }
    }
  }

private:
  template <class C, class Elements>
  KOKKOS_FORCEINLINE_FUNCTION void step(Index row, Index at, T const* gate, Elements count) const {
    C x = C::load(in.row(row) + at, count);
    if (kept.data != nullptr) {
      x.store(kept.row(row) + at, count);
    }
    x.multiply(column_factor<C>(scale, gate, at, count));
    if (shift != nullptr) {
      x.add(C::load(shift + at, count));
    }
    x.store(out.row(row) + at, count);
  }
};

/// Rows of one sample whose sums one task takes.
inline constexpr Index sum_rows = 32;

constexpr Index sums_per_sample(Index rows_per_sample) {
  return (rows_per_sample + sum_rows - 1) / sum_rows;
}

/// products[p, j] = Σ_t d[t, j] z[t, j] and sums[p, j] = Σ_t d[t, j] over piece p of a sample's
/// rows, and then d[t, j] *= scale[j] gate[t, j], in one pass.
template <class T>
struct ScaleColumnsAdjoint {
  using Acc = AccumulatorOf<T>;
  Rows<T> d;
  Rows<T const> z;  ///< data null: no products
  T const* scale;
  GateRows<T> gates;
  Acc* products;  ///< [samples * sums_per_sample, columns]
  Acc* sums;      ///< null: not wanted
  Index width;    ///< columns of a task

  KOKKOS_INLINE_FUNCTION Index strips() const { return (d.cols + width - 1) / width; }
  KOKKOS_INLINE_FUNCTION Index terms() const {
    return (d.rows + gates.rows_per_sample - 1) / gates.rows_per_sample *
           sums_per_sample(gates.rows_per_sample);
  }

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    using C = StorageChunk<Lanes, Bytes, T>;
    for (Index task = begin; task < end; ++task) {
      Index const term = task / strips();
      Index const from = (task - term * strips()) * width;
      Index const to = from + width < d.cols ? from + width : d.cols;
      Index at = from;
      for (; at + C::size <= to; at += C::size) {
        step<C>(term, at, AllOfIt{}, C::size);
      }
      if (at < to) {
        step<C>(term, at, to - at, to - at);
      }
    }
  }

private:
  template <class C, class Elements>
  KOKKOS_FORCEINLINE_FUNCTION void step(Index term, Index at, Elements count, Index size) const {
    Index const per_sample = sums_per_sample(gates.rows_per_sample);
    Index const sample = term / per_sample;
    Index const begin = sample * gates.rows_per_sample + (term - sample * per_sample) * sum_rows;
    Index last = (sample + 1) * gates.rows_per_sample;
    last = last < d.rows ? last : d.rows;
    last = begin + sum_rows < last ? begin + sum_rows : last;
    C const factor = column_factor<C>(scale, gates.of_sample(sample), at, count);
    C product = C::splat(0);
    C sum = C::splat(0);
    for (Index t = begin; t < last; ++t) {
      C x = C::load(d.row(t) + at, count);
      if (z.data != nullptr) {
        product.add_product(x, C::load(z.row(t) + at, count));
      }
      sum.add(x);
      x.multiply(factor);
      x.store(d.row(t) + at, count);
    }
    if (z.data != nullptr) {
      write<C>(product, products + term * d.cols + at, size);
    }
    if (sums != nullptr) {
      write<C>(sum, sums + term * d.cols + at, size);
    }
  }

  template <class C>
  KOKKOS_FORCEINLINE_FUNCTION static void write(C const& chunk, Acc* to, Index count) {
    alignas(64) Acc wide[static_cast<std::size_t>(C::size)];
    chunk.store_wide(wide);
    for (Index i = 0; i < count; ++i) {
      to[i] = wide[i];
    }
  }
};

template <class T, class Exec, class Provider>
void scale_columns(Context<Exec, Provider>& ctx, char const* label, Rows<T const> in, Rows<T> out,
                   Rows<T> kept, T const* scale, GateRows<T> const& gates, T const* shift,
                   Index first_row = 0) {
  if (in.rows == 0 || in.cols == 0) {
    return;
  }
  RowPieces pieces = row_pieces<Exec>(in.cols);
  if constexpr (!runs_on_host<Exec>) {
    constexpr Index width = 32 / sizeof(AccumulatorOf<T>);
    pieces = {in.cols, width, (in.cols + width - 1) / width};
  }
  run_tasks(label, ctx.exec(), in.rows * pieces.per_row,
            ScaleColumns<T>{in, out, kept, scale, gates, shift, first_row, pieces});
}

template <class T, class Exec, class Provider>
void scale_columns_adjoint(Context<Exec, Provider>& ctx, char const* label, Rows<T> d,
                           Rows<T const> z, T const* scale, GateRows<T> const& gates,
                           AccumulatorOf<T>* products, AccumulatorOf<T>* sums) {
  if (d.rows == 0 || d.cols == 0) {
    return;
  }
  ScaleColumnsAdjoint<T> const kernel{
      d,
      z,
      scale,
      gates,
      products,
      sums,
      runs_on_host<Exec> ? Index{256} : Index{32 / sizeof(AccumulatorOf<T>)}};
  run_tasks(label, ctx.exec(), kernel.terms() * kernel.strips(), kernel);
}

/// Pieces of rows whose sums scale_columns_adjoint leaves.
inline Index scale_terms(Index rows, Index rows_per_sample) {
  return (rows + rows_per_sample - 1) / rows_per_sample * sums_per_sample(rows_per_sample);
}

}  // namespace detail

}  // namespace dashi::kernels
