// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/placement.hpp>
#include <dashi/backbones/blocks/gated_branch.hpp>
#include <dashi/backbones/dit_config.hpp>
#include <dashi/backbones/linear.hpp>
#include <dashi/kernels/patchify.hpp>

namespace dashi {

/// Modulated norm of x, linear map to patches, patches to images. DiT's final layer; its linear map
/// and its modulation both have role::final.
template <Precision P, ExecutionSpace Exec, class Placement>
class DitFinalLayer {
  using Real = typename P::storage;
  using Map = PlacedLinear<P, Exec, Placement, role::final>;

public:
  struct Shared {
    typename Map::Shared modulation, linear;
    void parameters(ParameterList<P, Exec>& list) const {
      using Scope = typename ParameterList<P, Exec>::Scope;
      {
        Scope const scope(list, "linear");
        linear.parameters(list);
      }
      Scope const scope(list, "adaLN_modulation.1");
      modulation.parameters(list);
    }
  };
  struct Saved {
    NormSaved<P, Exec> norm;
    Matrix<P, Exec> sum, y, tokens;
    Matrix<P, Exec> modulation;  ///< [samples, 2 width]: shift, scale
    typename Map::Saved modulation_saved, linear_saved;
  };

  DitFinalLayer(Context<Exec>& ctx, DitConfig const& config,
                typename Placement::Options const& options, Shared& shared)
      : config_(config),
        modulation_(map(ctx, "adaLN_modulation.1", {2 * config.width, config.width}, options,
                        shared.modulation)),
        linear_(map(ctx, "linear", {grid().token_size(), config.width}, options, shared.linear)) {}

  Saved saved(Arena& arena, Index samples) const {
    Index const rows = samples * config_.tokens();
    return {NormSaved<P, Exec>::take(arena, rows),
            arena.matrix<Real, Exec>(rows, config_.width),
            arena.matrix<Real, Exec>(rows, config_.width),
            arena.matrix<Real, Exec>(rows, grid().token_size()),
            arena.matrix<Real, Exec>(samples, 2 * config_.width),
            modulation_.saved(arena, samples),
            linear_.saved(arena, rows)};
  }

  void scratch(Arena& arena, Index samples) const {
    Index const rows = samples * config_.tokens();
    Frame const frame(arena);
    arena.matrix<Real, Exec>(rows, config_.width);
    arena.matrix<Real, Exec>(samples, 2 * config_.width);
    take_norm_scratch<P, Exec>(arena, samples, config_.tokens(), config_.width);
    modulation_.scratch(arena, samples);
    linear_.scratch(arena, rows);
  }

  void forward(Context<Exec>& ctx, Batch<P, Exec> const& batch, GatedBranch<P, Exec> const& x,
               Matrix<P, Exec> silu, Saved const& saved, Matrix<P, Exec> out) const {
    modulation_.forward(ctx, silu, per_sample(batch), saved.modulation, saved.modulation_saved);
    modulated_norm<P, Exec>(ctx, config_.tokens(), config_.norm_epsilon, x, saved.sum,
                            part(saved.modulation, 0), part(saved.modulation, 1), saved.norm,
                            saved.y);
    linear_.forward(ctx, saved.y, batch, saved.tokens, saved.linear_saved);
    kernels::unpatchify(ctx, grid(), kernels::PatchOrder::channel_last, saved.tokens, out);
  }

  /// d_residual and d_branch are written: gradients of x; d_gate where it is wanted.
  void backward(Context<Exec>& ctx, Batch<P, Exec> const& batch, GatedBranch<P, Exec> const& x,
                Matrix<P, Exec> silu, Saved const& saved, Matrix<P, Exec> d_out,
                Matrix<P, Exec> d_residual, Matrix<P, Exec> d_branch,
                kernels::RowsOf<Real, Exec> d_gate, GradientSink<P, Exec>& d_silu) const {
    Frame const frame(ctx.scratch());
    auto const samples = static_cast<Index>(d_out.extent(0));
    auto const dy =
        ctx.scratch().template matrix<Real, Exec>(samples * config_.tokens(), config_.width);
    auto const d_modulation = ctx.scratch().template matrix<Real, Exec>(samples, 2 * config_.width);
    // The tokens have been read: their memory takes their gradient.
    kernels::patchify(ctx, grid(), kernels::PatchOrder::channel_last, d_out, saved.tokens);
    GradientSink<P, Exec> to_y(dy);
    linear_.backward(ctx, saved.y, batch, saved.tokens, to_y, saved.linear_saved);
    NormGradients<Real, Exec> gradients;
    if (d_silu.wanted()) {
      gradients = {d_gate, part(d_modulation, 1), part(d_modulation, 0)};
    }
    modulated_norm_adjoint<P, Exec>(ctx, config_.tokens(), x, saved.sum, part(saved.modulation, 1),
                                    saved.norm, dy, d_residual, d_branch, gradients, false);
    if (d_silu.wanted()) {
      modulation_.backward(ctx, silu, per_sample(batch), d_modulation, d_silu,
                           saved.modulation_saved);
    }
  }

  bool modulation_trained() const { return modulation_.any_trained(); }

  void parameters(ParameterList<P, Exec>& list) const {
    using Scope = typename ParameterList<P, Exec>::Scope;
    {
      Scope const scope(list, "linear");
      linear_.parameters(list);
    }
    Scope const scope(list, "adaLN_modulation.1");
    modulation_.parameters(list);
  }

private:
  kernels::PatchGrid grid() const {
    return {config_.out_channels(), config_.height, config_.width_pixels, config_.patch};
  }
  kernels::RowsOf<Real, Exec> part(Matrix<P, Exec> const& modulation, Index which) const {
    return kernels::RowsOf<Real, Exec>(modulation).columns(which * config_.width, config_.width);
  }
  static Batch<P, Exec> per_sample(Batch<P, Exec> batch) {
    batch.rows_per_sample = 1;
    return batch;
  }
  Map map(Context<Exec>& ctx, char const* name, LinearShape shape,
          typename Placement::Options const& options, typename Map::Shared& shared) const {
    LayerInfo const info{-1, config_.depth, {}, shape, std::string("final_layer.") + name};
    return Map(ctx, "dashi::" + info.name, shape,
               Placement::template options_for<role::final>(options, info), shared);
  }

  DitConfig config_;
  Map modulation_;
  Map linear_;
};

}  // namespace dashi
