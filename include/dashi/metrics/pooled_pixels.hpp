// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/metrics/features.hpp>
#include <dashi/metrics/image_batch.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace dashi::metrics {

namespace detail {

/// Share of input pixels first, first + 1, ... in one of `cells` equal parts of an axis.
struct AxisCell {
  Index first = 0;
  std::vector<double> shares;  ///< sum 1
};

inline std::vector<AxisCell> axis_cells(Index extent, Index cells) {
  std::vector<AxisCell> result(static_cast<std::size_t>(cells));
  double const step = static_cast<double>(extent) / static_cast<double>(cells);
  for (Index i = 0; i < cells; ++i) {
    AxisCell& cell = result[static_cast<std::size_t>(i)];
    // i * extent / cells in integers: its floor and ceiling are exact.
    cell.first = i * extent / cells;
    Index const last = ((i + 1) * extent + cells - 1) / cells;
    double const begin = static_cast<double>(i * extent) / static_cast<double>(cells);
    double const end = static_cast<double>((i + 1) * extent) / static_cast<double>(cells);
    for (Index p = cell.first; p < last; ++p) {
      double const from = std::max(begin, static_cast<double>(p));
      double const to = std::min(end, static_cast<double>(p + 1));
      cell.shares.push_back((to - from) / step);
    }
  }
  return result;
}

}  // namespace detail

/// The images themselves, each channel averaged over grid x grid equal areas (0: no averaging):
/// plain, but blind to fine strokes. For memorisation take grid 0. Throws PreconditionError.
inline Features pooled_pixels(ImageBatch const& images, Index grid = 8) {
  images.expect_whole();
  DASHI_EXPECTS(grid >= 0, "a grid has cells");
  Index const rows = grid == 0 ? images.height : std::min(grid, images.height);
  Index const columns = grid == 0 ? images.width : std::min(grid, images.width);
  auto const row_cells = detail::axis_cells(images.height, rows);
  auto const column_cells = detail::axis_cells(images.width, columns);
  Features features(images.count, images.channels * rows * columns);
  double* out = features.values.data();
  for (Index plane = 0; plane < images.count * images.channels; ++plane) {
    float const* const pixels = images.values.data() + plane * images.height * images.width;
    for (detail::AxisCell const& row : row_cells) {
      for (detail::AxisCell const& column : column_cells) {
        double sum = 0;
        for (std::size_t y = 0; y < row.shares.size(); ++y) {
          float const* const line =
              pixels + (row.first + static_cast<Index>(y)) * images.width + column.first;
          for (std::size_t x = 0; x < column.shares.size(); ++x) {
            sum += row.shares[y] * column.shares[x] * static_cast<double>(line[x]);
          }
        }
        *out++ = sum;
      }
    }
  }
  return features;
}

}  // namespace dashi::metrics
