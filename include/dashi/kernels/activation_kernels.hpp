// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/reduce_lanes.hpp>
#include <dashi/kernels/run_tasks.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <Kokkos_Core.hpp>

// Element-wise kernels of activation.hpp and cast.hpp.
namespace dashi::kernels::detail {

/// y = Function(x + bias).
template <class Function>
struct ValueOf {
  template <class Real>
  KOKKOS_FORCEINLINE_FUNCTION static Real apply(Real x, Real) {
    return Function::value(x);
  }
  static constexpr bool needs_gradient = false;
};

/// y = Function'(x + bias) dy.
template <class Function>
struct AdjointOf {
  template <class Real>
  KOKKOS_FORCEINLINE_FUNCTION static Real apply(Real x, Real dy) {
    return Function::derivative(x) * dy;
  }
  static constexpr bool needs_gradient = true;
};

struct Identity {
  template <class Real>
  KOKKOS_FORCEINLINE_FUNCTION static Real value(Real x) {
    return x;
  }
};

template <class Operation, class In, class Out>
struct ElementKernel {
  using Real = AccumulatorOf<In>;
  Rows<In const> x;
  In const* bias;  // null for none
  Rows<In const> dy;
  Rows<Out> y;
  RowPieces pieces;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index task = begin; task < end; ++task) {
      auto const [row, first, last] = pieces.piece(task);
      if (pieces.width == 1) {
        one(row, first);
      } else {
        many(row, first, last);
      }
    }
  }

private:
  KOKKOS_FORCEINLINE_FUNCTION void one(Index row, Index c) const {
    Real const b = bias == nullptr ? Real(0) : widened(bias[c]);
    Real g = 0;
    if constexpr (Operation::needs_gradient) {
      g = widened(dy.row(row)[c]);
    }
    y.row(row)[c] = convert<Out>(Operation::apply(widened(x.row(row)[c]) + b, g));
  }

  KOKKOS_FORCEINLINE_FUNCTION void many(Index row, Index first, Index last) const {
    for (Index c = first; c < last; c += chunk_size) {
      Index const count = last - c < chunk_size ? last - c : chunk_size;
      Chunk<Real> a;
      Chunk<Real> g;
      a.load(x.row(row) + c, count);
      if (bias != nullptr) {
        g.load(bias + c, count);
        for (Index i = 0; i < chunk_size; ++i) {
          a.value[i] += g.value[i];
        }
      }
      if constexpr (Operation::needs_gradient) {
        g.load(dy.row(row) + c, count);
      } else {
        g.fill(0);
      }
      for (Index i = 0; i < chunk_size; ++i) {
        a.value[i] = Operation::apply(a.value[i], g.value[i]);
      }
      a.store(y.row(row) + c, count);
    }
  }
};

template <class F, class Exec, class T>
void activate(Exec const& exec, RowsOf<T const, Exec> const& x, VectorOf<T const, Exec> bias,
              RowsOf<T, Exec> const& y) {
  expect_extents(x, "x of activate", y.rows, y.cols);
  RowPieces const pieces = row_pieces<Exec>(y.cols);
  run_tasks("dashi::kernels::activate", exec, y.rows * pieces.per_row,
            ElementKernel<ValueOf<F>, T, T>{x, bias.data(), {}, y, pieces});
}

template <class F, class Exec, class T>
void activate_adjoint(Exec const& exec, RowsOf<T const, Exec> const& x,
                      VectorOf<T const, Exec> bias, RowsOf<T const, Exec> const& dy,
                      RowsOf<T, Exec> const& dx) {
  expect_extents(x, "x of activate_adjoint", dx.rows, dx.cols);
  expect_extents(dy, "dy of activate_adjoint", dx.rows, dx.cols);
  RowPieces const pieces = row_pieces<Exec>(dx.cols);
  run_tasks("dashi::kernels::activate_adjoint", exec, dx.rows * pieces.per_row,
            ElementKernel<AdjointOf<F>, T, T>{x, bias.data(), dy, dx, pieces});
}

}  // namespace dashi::kernels::detail
