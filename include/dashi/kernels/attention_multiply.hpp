// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>

#include <Kokkos_Macros.hpp>

// Small products on tiles that lie in a cache, for host threads.
namespace dashi::kernels::detail {

/// Count rows of one or two vectors each that stay in registers. Recursion and not a loop, because
/// compilers unroll no loop of this size, and rows in an array would lie in memory.
template <class Vector, int Vectors, int Count>
struct RegisterRows {
  using Real = typename Vector::Element;
  static_assert(Vectors == 1 || Vectors == 2);

  RegisterRows<Vector, Vectors, Count - 1> before;
  Vector low;
  Vector high;

  KOKKOS_FORCEINLINE_FUNCTION void zero() {
    before.zero();
    low = Vector::splat(Real(0));
    if constexpr (Vectors == 2) {
      high = Vector::splat(Real(0));
    }
  }
  KOKKOS_FORCEINLINE_FUNCTION void load(Real const* from, Index stride) {
    before.load(from, stride);
    low = Vector::load(from + (Count - 1) * stride);
    if constexpr (Vectors == 2) {
      high = Vector::load(from + (Count - 1) * stride + Vector::size);
    }
  }
  KOKKOS_FORCEINLINE_FUNCTION void store(Real* to, Index stride) const {
    before.store(to, stride);
    low.store(to + (Count - 1) * stride);
    if constexpr (Vectors == 2) {
      high.store(to + (Count - 1) * stride + Vector::size);
    }
  }
  /// Row m += a[m * stride] b.
  KOKKOS_FORCEINLINE_FUNCTION void multiply_add(Real const* a, Index stride, Vector const& b_low,
                                                Vector const& b_high) {
    before.multiply_add(a, stride, b_low, b_high);
    Vector const factor = Vector::splat(a[(Count - 1) * stride]);
    low = low + factor * b_low;
    if constexpr (Vectors == 2) {
      high = high + factor * b_high;
    }
  }
};

template <class Vector, int Vectors>
struct RegisterRows<Vector, Vectors, 0> {
  using Real = typename Vector::Element;
  KOKKOS_FORCEINLINE_FUNCTION void zero() {}
  KOKKOS_FORCEINLINE_FUNCTION void load(Real const*, Index) {}
  KOKKOS_FORCEINLINE_FUNCTION void store(Real*, Index) const {}
  KOKKOS_FORCEINLINE_FUNCTION void multiply_add(Real const*, Index, Vector const&, Vector const&) {}
};

/// A(m, k) = data[m * row_stride + k * depth_stride] for k < depth, then `jump` further on for the
/// next `depth`, `pieces` times. A row stride other than 1 must not be a constant that the compiler
/// sees: it would load whole vectors for single numbers.
template <class Real>
struct LeftFactor {
  Real const* data;
  Index row_stride, depth_stride, depth;
  Index pieces = 1;
  Index jump = 0;
};

/// C (Count rows of Vectors vectors, ldc apart) = or += A B; B's rows are ldb apart.
template <class Vector, int Vectors, int Count>
KOKKOS_FORCEINLINE_FUNCTION void multiply_rows(LeftFactor<typename Vector::Element> const& factor,
                                               typename Vector::Element const* b, Index ldb,
                                               typename Vector::Element* c, Index ldc,
                                               bool accumulate) {
  RegisterRows<Vector, Vectors, Count> rows;
  if (accumulate) {
    rows.load(c, ldc);
  } else {
    rows.zero();
  }
  typename Vector::Element const* a = factor.data;
  for (Index piece = 0; piece < factor.pieces; ++piece) {
    for (Index k = 0; k < factor.depth; ++k) {
      Vector const low = Vector::load(b);
      if constexpr (Vectors == 2) {
        Vector const high = Vector::load(b + Vector::size);
        rows.multiply_add(a, factor.row_stride, low, high);
      } else {
        rows.multiply_add(a, factor.row_stride, low, low);
      }
      a += factor.depth_stride;
      b += ldb;
    }
    a += factor.jump;
  }
  rows.store(c, ldc);
}

/// The same for C of `cols` columns, a multiple of the vector's size. B comes in panels of two
/// vectors of columns, the last perhaps of one, `panel_rows` rows each; panel_rows = 0: B is one
/// matrix of `cols` columns.
template <class Vector, int Count>
KOKKOS_FORCEINLINE_FUNCTION void multiply_columns(
    Index cols, LeftFactor<typename Vector::Element> const& factor,
    typename Vector::Element const* b, Index panel_rows, typename Vector::Element* c,
    bool accumulate) {
  constexpr Index two = 2 * Vector::size;
  Index j = 0;
  for (; j + two <= cols; j += two) {
    multiply_rows<Vector, 2, Count>(factor, panel_rows == 0 ? b + j : b + j * panel_rows,
                                    panel_rows == 0 ? cols : two, c + j, cols, accumulate);
  }
  if (j < cols) {
    multiply_rows<Vector, 1, Count>(factor, panel_rows == 0 ? b + j : b + j * panel_rows,
                                    panel_rows == 0 ? cols : Index{Vector::size}, c + j, cols,
                                    accumulate);
  }
}

/// Rows and columns of tiles for registers of Bytes bytes: 16 registers up to 32 bytes, 32 of 64.
template <class Real, int Bytes>
struct TileShape {
  static constexpr int lanes = Bytes / static_cast<int>(sizeof(Real));
  static constexpr int queries = Bytes == 64 ? 12 : 6;
  static constexpr int keys = 2 * lanes;
  static constexpr int key_rows = Bytes == 64 ? 8 : 4;  // of the products that have a row a key
  static_assert(keys % key_rows == 0);
};

}  // namespace dashi::kernels::detail
