// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/concepts.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>

#include <Kokkos_Core.hpp>

#include <string>
#include <type_traits>

namespace dashi::kernels {

/// A row-major matrix in memory, for kernels: element (i, j) at data[i * stride + j].
template <class T>
struct Rows {
  T* data = nullptr;
  Index rows = 0;
  Index cols = 0;
  Index stride = 0;

  KOKKOS_FORCEINLINE_FUNCTION T* row(Index i) const { return data + i * stride; }
  /// False for an argument that was left out.
  KOKKOS_INLINE_FUNCTION bool given() const { return rows > 0 || cols > 0; }
};

/// Rows that kernels on Exec may touch; any view of rank 2 converts whose rows are contiguous, also
/// when they are further apart than they are long (PreconditionError otherwise). No copy.
template <class T, class Exec>
struct RowsOf : Rows<T> {
  RowsOf() = default;

  template <class View>
    requires(AccessibleFrom<View, Exec>&& View::rank() == 2 &&
             std::is_convertible_v<typename View::pointer_type, T*>)
  RowsOf(View const& view)
      : Rows<T>{view.data(), static_cast<Index>(view.extent(0)), static_cast<Index>(view.extent(1)),
                static_cast<Index>(view.stride(0))} {
    DASHI_EXPECTS(view.extent(1) <= 1 || view.stride(1) == 1,
                  "rows must be contiguous: the stride of columns is " +
                      std::to_string(view.stride(1)) + ", expected 1");
  }

  template <class Mutable>
    requires(!std::is_same_v<Mutable, T> && std::is_same_v<Mutable const, T>)
  RowsOf(RowsOf<Mutable, Exec> const& other)
      : Rows<T>{other.data, other.rows, other.cols, other.stride} {}

  /// Columns [first, first + count).
  RowsOf columns(Index first, Index count) const {
    DASHI_EXPECTS(first >= 0 && count >= 0 && first + count <= this->cols,
                  "columns " + std::to_string(first) + " to " + std::to_string(first + count) +
                      " of a matrix of " + std::to_string(this->cols) + " columns");
    RowsOf result = *this;
    result.data += first;
    result.cols = count;
    return result;
  }
};

namespace detail {

/// Throws PreconditionError naming both extents.
template <class T>
void expect_extents(Rows<T> const& matrix, char const* name, Index rows, Index cols) {
  DASHI_EXPECTS(matrix.rows == rows && matrix.cols == cols,
                std::string(name) + " is " + std::to_string(matrix.rows) + " x " +
                    std::to_string(matrix.cols) + ", expected " + std::to_string(rows) + " x " +
                    std::to_string(cols));
}

inline void expect_size(std::size_t size, char const* name, Index expected) {
  DASHI_EXPECTS(static_cast<Index>(size) == expected,
                std::string(name) + " has " + std::to_string(size) + " elements, expected " +
                    std::to_string(expected));
}

}  // namespace detail

}  // namespace dashi::kernels
