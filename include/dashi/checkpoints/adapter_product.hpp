// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace dashi::checkpoints::detail {

/// Columns of one strip: its part of `right` stays in the first cache for ranks up to 16.
inline constexpr std::size_t product_strip = 256;
/// Rows and columns whose sums are held in registers.
inline constexpr std::size_t product_rows = 4;
inline constexpr std::size_t product_columns = 8;

/// Four numbers that compilers keep in one vector register; of arrays g++ 12 makes loads and
/// stores.
using ProductLanes [[gnu::vector_size(32)]] = double;

inline ProductLanes load_lanes(double const* from) {
  ProductLanes out;
  std::memcpy(&out, from, sizeof out);
  return out;
}
inline void store_lanes(ProductLanes const& lanes, double* to) {
  std::memcpy(to, &lanes, sizeof lanes);
}

/// Rows x product_columns elements of out += left right; every sum in the order of the rank.
template <std::size_t Rows>
void add_product_tile(double const* left, std::size_t rank, double const* right, std::size_t cols,
                      double* out) {
  ProductLanes low[Rows] = {};
  ProductLanes high[Rows] = {};
  for (std::size_t k = 0; k < rank; ++k) {
    ProductLanes const a = load_lanes(right + k * cols);
    ProductLanes const b = load_lanes(right + k * cols + 4);
    for (std::size_t r = 0; r < Rows; ++r) {
      low[r] += left[r * rank + k] * a;
      high[r] += left[r * rank + k] * b;
    }
  }
  for (std::size_t r = 0; r < Rows; ++r) {
    store_lanes(load_lanes(out + r * cols) + low[r], out + r * cols);
    store_lanes(load_lanes(out + r * cols + 4) + high[r], out + r * cols + 4);
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
      double const* from = right + c;
      double sum = 0;
      for (double const *k = left + r * rank, *end = k + rank; k != end; ++k, from += cols) {
        sum += *k * *from;
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
