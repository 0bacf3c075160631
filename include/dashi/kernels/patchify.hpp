// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/run_tasks.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <string>

namespace dashi::kernels {

/// Order of the numbers of a patch within its token.
enum class PatchOrder : unsigned char {
  channel_first,  ///< (channel, row, column): the patch embedding's weight [cols, channels, p, p]
  channel_last,   ///< (row, column, channel): the final layer's output (DiT, unpatchify)
};

/// Images [channels, height, width] cut into patches of patch x patch; tokens are ordered by patch
/// row, then patch column.
struct PatchGrid {
  Index channels, height, width, patch;

  KOKKOS_INLINE_FUNCTION Index tokens() const { return (height / patch) * (width / patch); }
  KOKKOS_INLINE_FUNCTION Index token_size() const { return channels * patch * patch; }
  KOKKOS_INLINE_FUNCTION Index image_size() const { return channels * height * width; }
};

namespace detail {

template <class T>
struct PatchKernel {
  PatchGrid grid;
  PatchOrder order;
  bool to_tokens;
  Rows<T> images;
  Rows<T> tokens;
  RowPieces pieces;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index task = begin; task < end; ++task) {
      auto const [row, first, last] = pieces.piece(task);
      Index const sample = row / grid.tokens();
      Index const token = row - sample * grid.tokens();
      Index const across = grid.width / grid.patch;
      Index const top = token / across * grid.patch;
      Index const left = token % across * grid.patch;
      for (Index i = first; i < last; ++i) {
        bool const last_channel = order == PatchOrder::channel_last;
        Index const channel = last_channel ? i % grid.channels : i / (grid.patch * grid.patch);
        Index const place = last_channel ? i / grid.channels : i % (grid.patch * grid.patch);
        Index const y = top + place / grid.patch;
        Index const x = left + place % grid.patch;
        T& pixel = images.row(sample)[(channel * grid.height + y) * grid.width + x];
        T& number = tokens.row(row)[i];
        if (to_tokens) {
          number = pixel;
        } else {
          pixel = number;
        }
      }
    }
  }
};

template <class Exec, class T>
void move_patches(char const* label, Exec const& exec, PatchGrid const& grid, PatchOrder order,
                  bool to_tokens, Rows<T> const& images, Rows<T> const& tokens) {
  DASHI_EXPECTS(grid.channels > 0, "images of patchify have " + std::to_string(grid.channels) +
                                       " channels, expected at least 1");
  DASHI_EXPECTS(grid.patch > 0 && grid.height % grid.patch == 0 && grid.width % grid.patch == 0,
                "an image of " + std::to_string(grid.height) + " x " + std::to_string(grid.width) +
                    " cannot be cut into patches of " + std::to_string(grid.patch));
  expect_extents(images, "images of patchify", images.rows, grid.image_size());
  expect_extents(tokens, "tokens of patchify", images.rows * grid.tokens(), grid.token_size());
  RowPieces const pieces = row_pieces<Exec>(tokens.cols);
  run_tasks(label, exec, tokens.rows * pieces.per_row,
            PatchKernel<T>{grid, order, to_tokens, images, tokens, pieces});
}

}  // namespace detail

/// tokens [samples * grid.tokens(), grid.token_size()] from images [samples, channels * height *
/// width]. A permutation: its adjoint is unpatchify with the same order. Asynchronous.
template <class Exec, class Provider, class Images, class Tokens>
void patchify(Context<Exec, Provider>& ctx, PatchGrid const& grid, PatchOrder order,
              Images const& images, Tokens const& tokens) {
  using T = typename Tokens::value_type;
  RowsOf<T const, Exec> const from(images);
  // The kernel reads images only, in this direction.
  Rows<T> const source{const_cast<T*>(from.data), from.rows, from.cols, from.stride};
  RowsOf<T, Exec> const to(tokens);
  detail::move_patches<Exec, T>("dashi::kernels::patchify", ctx.exec(), grid, order, true, source,
                                to);
}

/// images from tokens; its adjoint is patchify with the same order. Asynchronous.
template <class Exec, class Provider, class Tokens, class Images>
void unpatchify(Context<Exec, Provider>& ctx, PatchGrid const& grid, PatchOrder order,
                Tokens const& tokens, Images const& images) {
  using T = typename Images::value_type;
  RowsOf<T const, Exec> const from(tokens);
  Rows<T> const source{const_cast<T*>(from.data), from.rows, from.cols, from.stride};
  RowsOf<T, Exec> const to(images);
  detail::move_patches<Exec, T>("dashi::kernels::unpatchify", ctx.exec(), grid, order, false, to,
                                source);
}

}  // namespace dashi::kernels
