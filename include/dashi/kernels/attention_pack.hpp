// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/accumulator.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <Kokkos_Macros.hpp>

// Copies of one head's rows in the orders that attention_multiply.hpp reads, padded with zeros.
namespace dashi::kernels::detail {

constexpr Index round_up(Index count, Index unit) { return (count + unit - 1) / unit * unit; }

/// Groups of Width rows, each [cols][Width]: element (c, row) beside the next row's. padded_rows is
/// a multiple of Width.
template <int Width, class T, class Real>
KOKKOS_FORCEINLINE_FUNCTION void pack_transposed(T const* from, Index stride, Index rows,
                                                 Index padded_rows, Index cols, Real factor,
                                                 Real* to) {
  for (Index first = 0; first < padded_rows; first += Width) {
    Index const left = rows > first ? rows - first : 0;
    Index const count = left < Width ? left : Width;
    for (Index r = 0; r < count; ++r) {
      T const* const row = from + (first + r) * stride;
      for (Index c = 0; c < cols; ++c) {
        to[c * Width + r] = factor * widened(row[c]);
      }
    }
    for (Index r = count; r < Width; ++r) {
      for (Index c = 0; c < cols; ++c) {
        to[c * Width + r] = 0;
      }
    }
    to += cols * Width;
  }
}

/// [padded_rows][padded_cols].
template <class T, class Real>
KOKKOS_FORCEINLINE_FUNCTION void pack_rows(T const* from, Index stride, Index rows, Index cols,
                                           Index padded_rows, Index padded_cols, Real factor,
                                           Real* to) {
  for (Index r = 0; r < padded_rows; ++r) {
    Index const width = r < rows ? cols : 0;
    T const* const row = from + (r < rows ? r : 0) * stride;
    for (Index c = 0; c < width; ++c) {
      to[c] = factor * widened(row[c]);
    }
    for (Index c = width; c < padded_cols; ++c) {
      to[c] = 0;
    }
    to += padded_cols;
  }
}

/// Panels of Width columns, the last perhaps narrower, each [padded_rows][its columns].
template <int Width, class T, class Real>
KOKKOS_FORCEINLINE_FUNCTION void pack_panels(T const* from, Index stride, Index rows, Index cols,
                                             Index padded_rows, Index padded_cols, Real* to) {
  for (Index j = 0; j < padded_cols; j += Width) {
    Index const width = padded_cols - j < Width ? padded_cols - j : Width;
    Index const left = cols > j ? cols - j : 0;
    pack_rows(from + j, stride, rows, left < width ? left : width, padded_rows, width, Real(1), to);
    to += padded_rows * width;
  }
}

}  // namespace dashi::kernels::detail
