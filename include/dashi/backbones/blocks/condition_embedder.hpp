// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/placement.hpp>
#include <dashi/backbones/activation.hpp>
#include <dashi/backbones/dit_config.hpp>
#include <dashi/backbones/linear.hpp>
#include <dashi/kernels/add_rows.hpp>
#include <dashi/kernels/embedding.hpp>
#include <dashi/kernels/timestep_embedding.hpp>

#include <cmath>
#include <string>

namespace dashi {

/// c = MLP(features of t) + table[label], and silu(c), which every modulation reads. DiT, arXiv
/// 2212.09748, section 3.2; its TimestepEmbedder and LabelEmbedder.
template <Precision P, ExecutionSpace Exec, class Placement>
class ConditionEmbedder {
  using Real = typename P::storage;
  using TimestepMap = PlacedLinear<P, Exec, Placement, role::timestep>;

public:
  struct Shared {
    typename TimestepMap::Shared in, out;
    void parameters(ParameterList<P, Exec>& list) const {
      using Scope = typename ParameterList<P, Exec>::Scope;
      {
        Scope const scope(list, "t_embedder.mlp.0", role::timestep::name);
        in.parameters(list);
      }
      Scope const scope(list, "t_embedder.mlp.2", role::timestep::name);
      out.parameters(list);
    }
  };
  struct Saved {
    Matrix<P, Exec> features, pre, hidden, c, silu;  ///< [samples, ...]
    typename TimestepMap::Saved in, out;
  };

  ConditionEmbedder(Context<Exec>& ctx, DitConfig const& config,
                    typename Placement::Options const& options, LayerInfo const& info,
                    Shared& shared)
      : config_(config),
        in_(map(ctx, "mlp.0", {config.width, config.frequency_size}, options, info, shared.in)),
        out_(map(ctx, "mlp.2", {config.width, config.width}, options, info, shared.out)),
        table_("dashi::y_embedder.embedding_table", config.label_rows(), config.width) {}

  Saved saved(Arena& arena, Index samples) const {
    auto const matrix = [&](Index cols) { return arena.matrix<Real, Exec>(samples, cols); };
    Index const width = config_.width;
    return {matrix(config_.frequency_size),
            matrix(width),
            matrix(width),
            matrix(width),
            matrix(width),
            in_.saved(arena, samples),
            out_.saved(arena, samples)};
  }

  void scratch(Arena& arena, Index samples) const {
    Frame const frame(arena);
    arena.matrix<Real, Exec>(samples, config_.width);
    arena.matrix<Real, Exec>(samples, config_.width);
    in_.scratch(arena, samples);
    out_.scratch(arena, samples);
  }

  void forward(Context<Exec>& ctx, diffusion::DenoiserInput<P, Exec> const& input,
               Batch<P, Exec> const& batch, Saved const& saved) const {
    if (input.features.extent(0) > 0) {
      Kokkos::deep_copy(ctx.exec(), saved.features, input.features);
    } else {
      kernels::timestep_embedding(ctx, input.timesteps, saved.features,
                                  {.shift = config_.frequency_shift});
    }
    in_.template forward_activated<SiluAfterLinear>(ctx, saved.features, batch, saved.pre,
                                                    saved.hidden, saved.in);
    out_.forward(ctx, saved.hidden, batch, saved.c, saved.out);
    // silu's memory holds the label's row until it is added.
    kernels::look_up(ctx, table_.matrix(), with_null(input.labels), saved.silu);
    kernels::add_rows(ctx, saved.silu, saved.c);
    kernels::activate<kernels::Silu>(ctx, saved.c, saved.silu);
  }

  /// d_silu [samples, width] is overwritten.
  void backward(Context<Exec>& ctx, kernels::Labels<Exec> const& labels,
                Batch<P, Exec> const& batch, Matrix<P, Exec> d_silu, Saved const& saved) const {
    kernels::activate_adjoint<kernels::Silu>(ctx, saved.c, d_silu, d_silu);
    if (table_.trained()) {
      kernels::look_up_adjoint(ctx, d_silu, with_null(labels), table_.gradient(), 1);
    }
    Frame const frame(ctx.scratch());
    auto const d_hidden = ctx.scratch().template matrix<Real, Exec>(
        static_cast<Index>(d_silu.extent(0)), config_.width);
    GradientSink<P, Exec> sink(d_hidden);
    out_.backward(ctx, saved.hidden, batch, d_silu, sink, saved.out);
    kernels::activate_adjoint<kernels::Silu>(ctx, saved.pre, d_hidden, d_hidden);
    GradientSink<P, Exec> nobody;
    in_.backward(ctx, saved.features, batch, d_hidden, nobody, saved.in);
  }

  bool any_trained() const { return in_.any_trained() || out_.any_trained() || table_.trained(); }

  void parameters(ParameterList<P, Exec>& list) const {
    using Scope = typename ParameterList<P, Exec>::Scope;
    {
      Scope const scope(list, "t_embedder.mlp.0", role::timestep::name);
      in_.parameters(list, Initial::normal(0.02));
    }
    {
      Scope const scope(list, "t_embedder.mlp.2", role::timestep::name);
      out_.parameters(list, Initial::normal(0.02));
    }
    Scope const scope(list, "y_embedder.embedding_table", role::label::name);
    list.add("weight", table_, ParameterKind::embedding, TimestepMap::trains_base,
             Initial::normal(0.02));
  }

private:
  static TimestepMap map(Context<Exec>& ctx, char const* name, LinearShape shape,
                         typename Placement::Options const& options, LayerInfo info,
                         typename TimestepMap::Shared& shared) {
    info.shape = shape;
    info.name = info.block < 0 ? "" : "blocks." + std::to_string(info.block) + ".";
    info.name += std::string("t_embedder.") + name;
    return TimestepMap(ctx, "dashi::" + info.name, shape,
                       Placement::template options_for<role::timestep>(options, info), shared);
  }

  kernels::Labels<Exec> with_null(kernels::Labels<Exec> labels) const {
    labels.null_row = config_.classes;
    return labels;
  }

  DitConfig config_;
  TimestepMap in_, out_;
  Parameter<P, Exec> table_;
};

}  // namespace dashi
