// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/concepts.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <string>
#include <type_traits>

namespace dashi::linalg {

/// Row-major matrices in memory: element (i, j) of matrix b at data[b * batch_stride + i * ld + j].
template <class T>
struct Operand {
  T* data;
  Index batch;
  Index rows;
  Index cols;
  Index ld;
  Index batch_stride;
};

namespace detail {

template <class View, int Rank>
inline constexpr bool is_row_major_operand = false;
template <class View, int Rank>
  requires(bool(Kokkos::is_view_v<View>))
inline constexpr bool is_row_major_operand<View, Rank> =
    static_cast<int>(View::rank) == Rank &&
    (std::is_same_v<typename View::array_layout, Kokkos::LayoutRight> ||
     std::is_same_v<typename View::array_layout, Kokkos::LayoutStride>);

}  // namespace detail

/// What linear algebra reads and writes: a view of rank 2 (3 for a batch), LayoutRight or
/// LayoutStride; that elements of a row lie side by side is checked at run time.
template <class View, int Rank = 2>
concept OperandView = detail::is_row_major_operand<View, Rank>;

/// Says in a sentence what keeps the view from being an operand on Exec.
template <class View, class Exec, int Rank = 2>
consteval bool require_operand() {
  require_accessible<View, Exec>();
  static_assert(
      OperandView<View, Rank>,
      "dashi::linalg: a matrix is a row-major Kokkos::View of rank 2, a batch of matrices "
      "one of rank 3; LayoutRight, or LayoutStride with elements of a row side by side");
  return true;
}

namespace detail {

inline std::string shape_text(Index rows, Index cols) {
  return std::to_string(rows) + " x " + std::to_string(cols);
}

}  // namespace detail

/// Pointer and strides of a view; `name` is for messages. Throws PreconditionError when the
/// elements of a row do not lie side by side or rows overlap.
template <class View>
Operand<typename View::value_type> operand_of(View const& view, char const* name) {
  constexpr std::size_t row = View::rank - 2;
  constexpr std::size_t col = row + 1;
  auto const extent = [&](std::size_t at) { return static_cast<Index>(view.extent(at)); };
  auto const stride = [&](std::size_t at) { return static_cast<Index>(view.stride(at)); };
  Operand<typename View::value_type> result{
      view.data(), row == 1 ? extent(0) : 1, extent(row), extent(col), 1, 0};
  DASHI_EXPECTS(result.cols <= 1 || stride(col) == 1,
                std::string(name) + ": elements of a row must lie side by side, not " +
                    std::to_string(stride(col)) + " apart");
  bool const one_row = result.rows <= 1;
  DASHI_EXPECTS(one_row || stride(row) >= result.cols,
                std::string(name) + ": rows of " + std::to_string(result.cols) +
                    " elements must not overlap, but begin " + std::to_string(stride(row)) +
                    " apart");
  result.ld = one_row ? (result.cols > 0 ? result.cols : 1) : stride(row);
  result.ld = result.ld > 0 ? result.ld : 1;
  result.batch_stride = row == 1 && result.batch > 1 ? stride(0) : 0;
  return result;
}

}  // namespace dashi::linalg
