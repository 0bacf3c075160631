// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/placement.hpp>
#include <dashi/backbones/blocks/gated_branch.hpp>
#include <dashi/backbones/dit_config.hpp>
#include <dashi/backbones/linear.hpp>
#include <dashi/core/sincos_position.hpp>
#include <dashi/kernels/add_rows.hpp>
#include <dashi/kernels/patchify.hpp>

#include <span>
#include <vector>

namespace dashi {

/// Tokens from images: a linear map of each patch, plus the fixed position table. DiT, arXiv
/// 2212.09748, section 3.2 (Patchify).
template <Precision P, ExecutionSpace Exec, class Placement>
class PatchEmbedder {
  using Real = typename P::storage;
  using Map = PlacedLinear<P, Exec, Placement, role::patch>;

public:
  using Shared = typename Map::Shared;
  struct Saved {
    Matrix<P, Exec> patches;  ///< [rows, channels * patch * patch]
    typename Map::Saved map;
  };

  PatchEmbedder(Context<Exec>& ctx, DitConfig const& config,
                typename Placement::Options const& options, Shared& shared)
      : config_(config),
        map_(ctx, "dashi::x_embedder.proj", shape(),
             Placement::template options_for<role::patch>(
                 options, LayerInfo{-1, config.depth, {}, shape(), "x_embedder.proj"}),
             shared),
        position_("dashi::pos_embed", config.tokens(), config.width) {
    // Models keep the table as float; from there it is rounded to what they compute with.
    auto const table = position_embedding(config.height / config.patch,
                                          config.width_pixels / config.patch, config.width);
    std::vector<float> const rounded(table.begin(), table.end());
    position_.write(std::span<float const>(rounded));
  }

  Saved saved(Arena& arena, Index samples) const {
    Index const rows = samples * config_.tokens();
    return {arena.matrix<Real, Exec>(rows, shape().in), map_.saved(arena, rows)};
  }
  void scratch(Arena& arena, Index samples) const {
    Frame const frame(arena);
    Index const rows = samples * config_.tokens();
    arena.matrix<Real, Exec>(rows, shape().in);
    map_.scratch(arena, rows);
  }

  void forward(Context<Exec>& ctx, Matrix<P, Exec> images, Batch<P, Exec> const& batch,
               Matrix<P, Exec> tokens, Saved const& saved) const {
    kernels::patchify(ctx, grid(), kernels::PatchOrder::channel_first, images, saved.patches);
    map_.forward(ctx, saved.patches, batch, tokens, saved.map);
    kernels::add_rows(ctx, position_.matrix(), tokens);
  }

  /// d_tokens is overwritten; d_images, where given, receives the gradient of the images.
  void backward(Context<Exec>& ctx, Batch<P, Exec> const& batch, Matrix<P, Exec> d_tokens,
                Saved const& saved, Matrix<P, Exec> d_images) const {
    if (d_images.extent(0) == 0) {
      GradientSink<P, Exec> nobody;
      if (map_.any_trained()) {
        map_.backward(ctx, saved.patches, batch, d_tokens, nobody, saved.map);
      }
      return;
    }
    Frame const frame(ctx.scratch());
    auto const d_patches = ctx.scratch().template matrix<Real, Exec>(
        static_cast<Index>(d_tokens.extent(0)), shape().in);
    GradientSink<P, Exec> sink(d_patches);
    map_.backward(ctx, saved.patches, batch, d_tokens, sink, saved.map);
    kernels::unpatchify(ctx, grid(), kernels::PatchOrder::channel_first, d_patches, d_images);
  }

  void parameters(ParameterList<P, Exec>& list) const {
    list.add("pos_embed", position_, ParameterKind::buffer, false, {},
             {1, config_.tokens(), config_.width});
    typename ParameterList<P, Exec>::Scope const scope(list, "x_embedder.proj", role::patch::name);
    map_.parameters(list, xavier(shape().out, shape().in),
                    {config_.width, config_.channels, config_.patch, config_.patch});
  }

private:
  LinearShape shape() const {
    return {config_.width, config_.channels * config_.patch * config_.patch};
  }
  kernels::PatchGrid grid() const {
    return {config_.channels, config_.height, config_.width_pixels, config_.patch};
  }

  DitConfig config_;
  Map map_;
  Parameter<P, Exec> position_;
};

}  // namespace dashi
