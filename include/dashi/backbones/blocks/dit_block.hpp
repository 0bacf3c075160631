// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/backbones/activation.hpp>
#include <dashi/backbones/blocks/attention_input.hpp>
#include <dashi/backbones/blocks/gated_branch.hpp>
#include <dashi/backbones/dit_config.hpp>
#include <dashi/kernels/attention.hpp>
#include <dashi/kernels/layer_norm_modulate.hpp>

#include <cmath>
#include <string>

namespace dashi {

/// A transformer block with adaLN-Zero: x += gate_msa * attention(modulated norm of x), then
/// x += gate_mlp * MLP(modulated norm of x). DiT, arXiv 2212.09748, section 3.2.
///
/// The last addition belongs to the norm of whoever comes next, in one pass with it: a block takes
/// its input as residual and gated branch, and leaves its output the same way.
template <Precision P, ExecutionSpace Exec, class Placement>
class DitBlock {
  using Real = typename P::storage;
  using Sum = typename P::accumulate;
  template <class R>
  using Map = PlacedLinear<P, Exec, Placement, R>;
  using Input = AttentionInput<P, Exec, Placement>;

public:
  struct Shared {
    typename Map<role::modulation>::Shared modulation;
    typename Input::Shared qkv;
    typename Map<role::attention_output>::Shared proj;
    typename Map<role::mlp_in>::Shared fc1;
    typename Map<role::mlp_out>::Shared fc2;
    void parameters(ParameterList<P, Exec>& list) const {
      using Scope = typename ParameterList<P, Exec>::Scope;
      {
        Scope const scope(list, "attn");
        Input::shared_parameters(qkv, list);
        Scope const map(list, "proj", role::attention_output::name);
        proj.parameters(list);
      }
      {
        Scope const scope(list, "mlp.fc1", role::mlp_in::name);
        fc1.parameters(list);
      }
      {
        Scope const scope(list, "mlp.fc2", role::mlp_out::name);
        fc2.parameters(list);
      }
      Scope const scope(list, "adaLN_modulation.1", role::modulation::name);
      modulation.parameters(list);
    }
  };

  /// What goes from block to block: [rows, width] both.
  struct Stream {
    Matrix<P, Exec> residual;  ///< input of the block's first norm
    Matrix<P, Exec> branch;    ///< the MLP's output
  };
  /// What the inside of a block keeps.
  struct Inner {
    NormSaved<P, Exec> norm1, norm2;
    Matrix<P, Exec> y1, qkv, attended, projected, residual2, y2, pre, hidden;
    MatrixOf<Sum, Exec> log_sum_exp;
    typename Input::Saved qkv_saved;
    typename Map<role::attention_output>::Saved proj_saved;
    typename Map<role::mlp_in>::Saved fc1_saved;
    typename Map<role::mlp_out>::Saved fc2_saved;
  };
  /// [samples, 6 width]: shift, scale, gate of the attention, then of the MLP.
  struct Modulation {
    Matrix<P, Exec> values;
    typename Map<role::modulation>::Saved saved;
  };

  DitBlock(Context<Exec>& ctx, DitConfig const& config, typename Placement::Options const& options,
           Index number, Shared& shared)
      : config_(config),
        modulation_(map<role::modulation>(ctx, "adaLN_modulation.1", 6 * config.width, config.width,
                                          options, number, shared.modulation)),
        qkv_(ctx, config.width, options, info(number, "attn.qkv"), shared.qkv),
        proj_(map<role::attention_output>(ctx, "attn.proj", config.width, config.width, options,
                                          number, shared.proj)),
        fc1_(map<role::mlp_in>(ctx, "mlp.fc1", config.mlp_width, config.width, options, number,
                               shared.fc1)),
        fc2_(map<role::mlp_out>(ctx, "mlp.fc2", config.width, config.mlp_width, options, number,
                                shared.fc2)) {}

  Stream stream(Arena& arena, Index rows) const {
    return {arena.matrix<Real, Exec>(rows, config_.width),
            arena.matrix<Real, Exec>(rows, config_.width)};
  }
  Modulation modulation(Arena& arena, Index samples) const {
    return {arena.matrix<Real, Exec>(samples, 6 * config_.width),
            modulation_.saved(arena, samples)};
  }
  /// Without the argument of the activation where there will be no backward.
  Inner inner(Arena& arena, Index samples, bool for_backward) const {
    Index const rows = samples * config_.tokens();
    Index const width = config_.width;
    auto const matrix = [&](Index cols) { return arena.matrix<Real, Exec>(rows, cols); };
    return {NormSaved<P, Exec>::take(arena, rows),
            NormSaved<P, Exec>::take(arena, rows),
            matrix(width),
            matrix(3 * width),
            matrix(width),
            matrix(width),
            matrix(width),
            matrix(width),
            arena.matrix<Real, Exec>(for_backward ? rows : 0, config_.mlp_width),
            matrix(config_.mlp_width),
            arena.matrix<Sum, Exec>(samples * config_.heads, config_.tokens()),
            qkv_.saved(arena, rows),
            proj_.saved(arena, rows),
            fc1_.saved(arena, rows),
            fc2_.saved(arena, rows)};
  }

  /// Takes what forward or backward take at most.
  void scratch(Context<Exec> const& ctx, Arena& arena, Index samples) const {
    Index const rows = samples * config_.tokens();
    Frame const frame(arena);
    (void)gradients(arena, rows);
    {
      Frame const attention(arena);
      arena.vector<std::byte, Exec>(static_cast<Index>(std::max(
          kernels::attention_scratch_bytes<Real>(ctx, config_.tokens(), config_.head_size()),
          kernels::attention_adjoint_scratch_bytes<Real>(ctx, config_.tokens(),
                                                         config_.head_size()))));
    }
    take_norm_scratch<P, Exec>(arena, samples, config_.tokens(), config_.width);
    modulation_.scratch(arena, samples);
    qkv_.scratch(arena, rows);
    proj_.scratch(arena, rows);
    fc1_.scratch(arena, rows);
    fc2_.scratch(arena, rows);
  }

  /// The six vectors of each sample from silu(c).
  void modulate(Context<Exec>& ctx, Matrix<P, Exec> silu, Batch<P, Exec> const& batch,
                Modulation const& modulation) const {
    modulation_.forward(ctx, silu, per_sample(batch), modulation.values, modulation.saved);
  }

  /// x + gate * branch of what came before goes to out.residual, the MLP's output to out.branch.
  void forward(Context<Exec>& ctx, Batch<P, Exec> const& batch, GatedBranch<P, Exec> const& x,
               Modulation const& m, Inner const& s, Stream const& out) const {
    modulated_norm(ctx, config_.tokens(), config_.norm_epsilon, x, out.residual, part(m, 0),
                   part(m, 1), s.norm1, s.y1);
    qkv_.forward(ctx, s.y1, batch, s.qkv, s.qkv_saved);
    kernels::Attention<Real, Exec> attention;
    attention.tokens = config_.tokens();
    attention.heads = config_.heads;
    attention.split(s.qkv);
    attention.out = s.attended;
    attention.log_sum_exp = s.log_sum_exp;
    kernels::attention(ctx, attention);
    proj_.forward(ctx, s.attended, batch, s.projected, s.proj_saved);
    modulated_norm(ctx, config_.tokens(), config_.second_norm_epsilon,
                   {out.residual, s.projected, part(m, 2)}, s.residual2, part(m, 3), part(m, 4),
                   s.norm2, s.y2);
    fc1_.template forward_activated<GeluAfterLinear>(ctx, s.y2, batch, s.pre, s.hidden,
                                                     s.fc1_saved);
    fc2_.forward(ctx, s.hidden, batch, out.branch, s.fc2_saved);
  }

  /// What the next norm reads.
  GatedBranch<P, Exec> output(Modulation const& m, Inner const& s, Stream const& out) const {
    return {s.residual2, out.branch, part(m, 5)};
  }
  kernels::RowsOf<Real, Exec> output_gate_gradient(Matrix<P, Exec> d_modulation) const {
    return part_of(d_modulation, 5);
  }

  /// d_residual: in, the gradient of residual2 from later layers; out, of this block's residual
  /// without the branch that came with it. d_branch: in, of the MLP's output; out, of the previous
  /// branch. d_modulation is empty where nobody wants it.
  void backward(Context<Exec>& ctx, Batch<P, Exec> const& batch, GatedBranch<P, Exec> const& x,
                kernels::RowsOf<Real, Exec> d_gate_before, Modulation const& m, Inner const& s,
                Stream const& out, Matrix<P, Exec> d_residual, Matrix<P, Exec> d_branch,
                Matrix<P, Exec> d_modulation) const {
    Frame const frame(ctx.scratch());
    auto const d = gradients(ctx.scratch(), static_cast<Index>(d_residual.extent(0)));
    GradientSink<P, Exec> to_hidden(d.hidden);
    fc2_.backward(ctx, s.hidden, batch, d_branch, to_hidden, s.fc2_saved);
    kernels::activate_adjoint<kernels::GeluTanh>(ctx, s.pre, d.hidden, d.hidden);
    GradientSink<P, Exec> to_y2(d.y);
    fc1_.backward(ctx, s.y2, batch, d.hidden, to_y2, s.fc1_saved);
    modulated_norm_adjoint(
        ctx, config_.tokens(), {out.residual, s.projected, part(m, 2)}, s.residual2, part(m, 4),
        s.norm2, d.y, d_residual, d_branch,
        {part_of(d_modulation, 2), part_of(d_modulation, 4), part_of(d_modulation, 3)});
    GradientSink<P, Exec> to_attended(d.attended);
    proj_.backward(ctx, s.attended, batch, d_branch, to_attended, s.proj_saved);
    kernels::AttentionAdjoint<Real, Exec> attention;
    attention.tokens = config_.tokens();
    attention.heads = config_.heads;
    attention.split(s.qkv, d.qkv);
    attention.out = s.attended;
    attention.d_out = d.attended;
    attention.log_sum_exp = s.log_sum_exp;
    kernels::attention_adjoint(ctx, attention);
    GradientSink<P, Exec> to_y1(d.y);
    qkv_.backward(ctx, s.y1, batch, d.qkv, to_y1, s.qkv_saved);
    modulated_norm_adjoint(ctx, config_.tokens(), x, out.residual, part(m, 1), s.norm1, d.y,
                           d_residual, d_branch,
                           {d_gate_before, part_of(d_modulation, 1), part_of(d_modulation, 0)});
  }

  /// Adds the gradient of silu(c) to d_silu; d_modulation is overwritten.
  void modulate_backward(Context<Exec>& ctx, Matrix<P, Exec> silu, Batch<P, Exec> const& batch,
                         Matrix<P, Exec> d_modulation, GradientSink<P, Exec>& d_silu,
                         Modulation const& m) const {
    modulation_.backward(ctx, silu, per_sample(batch), d_modulation, d_silu, m.saved);
  }
  bool modulation_trained() const { return modulation_.any_trained(); }

  void parameters(ParameterList<P, Exec>& list) const {
    using Scope = typename ParameterList<P, Exec>::Scope;
    {
      Scope const scope(list, "attn");
      qkv_.parameters(list, xavier(3 * config_.width, config_.width));
      Scope const proj(list, "proj", role::attention_output::name);
      proj_.parameters(list, xavier(config_.width, config_.width));
    }
    {
      Scope const scope(list, "mlp.fc1", role::mlp_in::name);
      fc1_.parameters(list, xavier(config_.mlp_width, config_.width));
    }
    {
      Scope const scope(list, "mlp.fc2", role::mlp_out::name);
      fc2_.parameters(list, xavier(config_.width, config_.mlp_width));
    }
    Scope const scope(list, "adaLN_modulation.1", role::modulation::name);
    modulation_.parameters(list);
  }

private:
  struct Gradients {
    Matrix<P, Exec> hidden, y, attended, qkv;
  };
  Gradients gradients(Arena& arena, Index rows) const {
    auto const matrix = [&](Index cols) { return arena.matrix<Real, Exec>(rows, cols); };
    return {matrix(config_.mlp_width), matrix(config_.width), matrix(config_.width),
            matrix(3 * config_.width)};
  }

  LayerInfo info(Index number, char const* name) const {
    return {number, config_.depth, {}, {}, "blocks." + std::to_string(number) + "." + name};
  }

  template <class R>
  Map<R> map(Context<Exec>& ctx, char const* name, Index out, Index in,
             typename Placement::Options const& options, Index number,
             typename Map<R>::Shared& shared) const {
    LayerInfo layer = info(number, name);
    layer.shape = {out, in};
    return Map<R>(ctx, "dashi::" + layer.name, layer.shape,
                  Placement::template options_for<R>(options, layer), shared);
  }

  static Batch<P, Exec> per_sample(Batch<P, Exec> batch) {
    batch.rows_per_sample = 1;
    return batch;
  }

  kernels::RowsOf<Real const, Exec> part(Modulation const& m, Index which) const {
    return part_of(m.values, which);
  }
  kernels::RowsOf<Real, Exec> part_of(Matrix<P, Exec> const& modulation, Index which) const {
    kernels::RowsOf<Real, Exec> const all(modulation);
    return all.given() ? all.columns(which * config_.width, config_.width) : all;
  }

  DitConfig config_;
  Map<role::modulation> modulation_;
  Input qkv_;
  Map<role::attention_output> proj_;
  Map<role::mlp_in> fc1_;
  Map<role::mlp_out> fc2_;
};

}  // namespace dashi
