// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/accumulator.hpp>
#include <dashi/kernels/row_products.hpp>
#include <dashi/kernels/run_tasks.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <type_traits>

namespace dashi::kernels {

namespace detail {

/// out[j, :] = in[j, :] sigma[j] gate[j].
template <class T>
struct ScaleRows {
  Rows<T const> in;
  Rows<T> out;
  T const* sigma;
  T const* gate;  ///< null: ones
  RowPieces pieces;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index task = begin; task < end; ++task) {
      auto const piece = pieces.piece(task);
      auto factor = convert<AccumulatorOf<T>>(sigma[piece.row]);
      if (gate != nullptr) {
        factor *= convert<AccumulatorOf<T>>(gate[piece.row]);
      }
      for (Index at = piece.first; at < piece.last; ++at) {
        out.row(piece.row)[at] =
            convert<T>(factor * convert<AccumulatorOf<T>>(in.row(piece.row)[at]));
      }
    }
  }
};

}  // namespace detail

/// w[i, :] *= scale[i], rounded once: an output scale folded into its weight. w [m, n], scale [m].
/// Asynchronous.
template <class T, class Exec, class Provider>
void scale_rows(Context<Exec, Provider>& ctx, std::type_identity_t<VectorOf<T const, Exec>> scale,
                RowsArgument<T, Exec> const& w) {
  detail::expect_size(scale.extent(0), "scale", w.rows);
  RowPieces const pieces = row_pieces<Exec>(w.cols);
  run_tasks("dashi::kernels::scale_rows", ctx.exec(), w.rows * pieces.per_row,
            detail::ScaleRows<T>{read_only<T>(w), w, scale.data(), nullptr, pieces});
}

}  // namespace dashi::kernels
