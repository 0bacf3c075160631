// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <algorithm>
#include <cstddef>

namespace dashi::checkpoints::detail {

/// Columns of one strip: its part of `right` stays in the first cache for ranks up to 16.
inline constexpr std::size_t product_strip = 256;
/// Rows and columns whose sums are held in registers.
inline constexpr std::size_t product_rows = 4;
inline constexpr std::size_t product_columns = 8;

/// Rows x product_columns elements of out += left right; every sum in the order of the rank.
template <std::size_t Rows>
void add_product_tile(double const* left, std::size_t rank, double const* right, std::size_t cols,
                      double* out) {
  double sums[Rows][product_columns] = {};
  for (std::size_t k = 0; k < rank; ++k) {
    double const* const line = right + k * cols;
    for (std::size_t r = 0; r < Rows; ++r) {
      double const factor = left[r * rank + k];
      for (std::size_t c = 0; c < product_columns; ++c) {
        sums[r][c] += factor * line[c];
      }
    }
  }
  for (std::size_t r = 0; r < Rows; ++r) {
    for (std::size_t c = 0; c < product_columns; ++c) {
      out[r * cols + c] += sums[r][c];
    }
  }
}

template <std::size_t Rows>
void add_product_strip(double const* left, std::size_t rank, double const* right, std::size_t cols,
                       std::size_t width, double* out) {
  std::size_t c = 0;
  for (; c + product_columns <= width; c += product_columns) {
    add_product_tile<Rows>(left, rank, right + c, cols, out + c);
  }
  for (; c < width; ++c) {
    for (std::size_t r = 0; r < Rows; ++r) {
      double sum = 0;
      for (std::size_t k = 0; k < rank; ++k) {
        sum += left[r * rank + k] * right[k * cols + c];
      }
      out[r * cols + c] += sum;
    }
  }
}

/// out [rows, cols] += left [rows, rank] right [rank, cols], all dense. Each sum is taken in the
/// order of the rank and added once, so that an element does not depend on which rows come along.
inline void add_product(double const* left, std::size_t rows, std::size_t rank, double const* right,
                        std::size_t cols, double* out) {
  for (std::size_t begin = 0; begin < cols; begin += product_strip) {
    std::size_t const width = std::min(product_strip, cols - begin);
    std::size_t row = 0;
    for (; row + product_rows <= rows; row += product_rows) {
      add_product_strip<product_rows>(left + row * rank, rank, right + begin, cols, width,
                                      out + row * cols + begin);
    }
    for (; row < rows; ++row) {
      add_product_strip<1>(left + row * rank, rank, right + begin, cols, width,
                           out + row * cols + begin);
    }
  }
}

}  // namespace dashi::checkpoints::detail
