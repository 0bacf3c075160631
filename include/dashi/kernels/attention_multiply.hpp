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
  /// Row m += a[m * RowStride] b.
  template <int RowStride>
  KOKKOS_FORCEINLINE_FUNCTION void multiply_add(Real const* a, Vector const& b_low,
                                                Vector const& b_high) {
    before.template multiply_add<RowStride>(a, b_low, b_high);
    Vector const factor = Vector::splat(a[(Count - 1) * RowStride]);
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
  template <int RowStride>
  KOKKOS_FORCEINLINE_FUNCTION void multiply_add(Real const*, Vector const&, Vector const&) {}
};

/// C (Count rows of Vectors vectors) = or += A B. A(m, k) = a[m * RowStride + k * DepthStride];
/// after each of `pieces` runs of `depth` values of k, a moves on by `jump` more; B's rows are ldb
/// apart throughout.
template <class Vector, int Vectors, int Count, int RowStride, int DepthStride>
KOKKOS_FORCEINLINE_FUNCTION void multiply_rows(Index pieces, Index depth, Index jump,
                                               typename Vector::Element const* a,
                                               typename Vector::Element const* b, Index ldb,
                                               typename Vector::Element* c, Index ldc,
                                               bool accumulate) {
  RegisterRows<Vector, Vectors, Count> rows;
  if (accumulate) {
    rows.load(c, ldc);
  } else {
    rows.zero();
  }
  for (Index piece = 0; piece < pieces; ++piece) {
    for (Index k = 0; k < depth; ++k) {
      Vector const low = Vector::load(b);
      if constexpr (Vectors == 2) {
        Vector const high = Vector::load(b + Vector::size);
        rows.template multiply_add<RowStride>(a, low, high);
      } else {
        rows.template multiply_add<RowStride>(a, low, low);
      }
      a += DepthStride;
      b += ldb;
    }
    a += jump;
  }
  rows.store(c, ldc);
}

/// The same for C of `cols` columns, a multiple of the vector's size.
template <class Vector, int Count, int RowStride, int DepthStride>
KOKKOS_FORCEINLINE_FUNCTION void multiply_columns(Index cols, Index pieces, Index depth, Index jump,
                                                  typename Vector::Element const* a,
                                                  typename Vector::Element const* b,
                                                  typename Vector::Element* c, bool accumulate) {
  Index j = 0;
  for (; j + 2 * Vector::size <= cols; j += 2 * Vector::size) {
    multiply_rows<Vector, 2, Count, RowStride, DepthStride>(pieces, depth, jump, a, b + j, cols,
                                                            c + j, cols, accumulate);
  }
  if (j < cols) {
    multiply_rows<Vector, 1, Count, RowStride, DepthStride>(pieces, depth, jump, a, b + j, cols,
                                                            c + j, cols, accumulate);
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
