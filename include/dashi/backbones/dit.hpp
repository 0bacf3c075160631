// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/backbones/blocks/condition_embedder.hpp>
#include <dashi/backbones/blocks/dit_block.hpp>
#include <dashi/backbones/blocks/dit_final_layer.hpp>
#include <dashi/backbones/blocks/dit_shared.hpp>
#include <dashi/backbones/blocks/over_one_memory.hpp>
#include <dashi/backbones/blocks/patch_embedder.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace dashi {

/// Scalable diffusion model with transformers: DiT, Peebles and Xie, arXiv 2212.09748. A Backbone.
///
/// Placement says which adapters are on which linear maps; their options come at run time. New
/// parameters are zero until `initialise` or a checkpoint fills them; the position table is there.
template <ExecutionSpace Exec, Precision P, class Placement = Place<>>
class BasicDiT {
  using Real = typename P::storage;
  using Block = DitBlock<P, Exec, Placement>;
  using Embedder = ConditionEmbedder<P, Exec, Placement>;
  using Final = DitFinalLayer<P, Exec, Placement>;
  using Patches = PatchEmbedder<P, Exec, Placement>;
  using Shared = DitShared<P, Exec, Placement>;

public:
  using precision = P;
  using execution_space = Exec;
  using Options = typename Placement::Options;
  using Input = diffusion::DenoiserInput<P, Exec>;

  /// What forward keeps. Streams and modulations are one a block; inner parts too, or one for all
  /// blocks where backward computes them again.
  struct Saved {
    typename Patches::Saved patches;
    std::vector<typename Embedder::Saved> embedders;
    std::vector<typename Block::Modulation> modulations;
    std::vector<typename Block::Stream> streams;
    std::vector<typename Block::Inner> inner;
    typename Final::Saved final;
    VectorOf<std::int64_t, Exec> labels;  ///< [samples], the null label where one is dropped
  };
  /// What a pass without gradients needs: the same with one stream and the memory of one inner
  /// part.
  struct Evaluation : Saved {};

  explicit BasicDiT(Context<Exec>& ctx, DitConfig const& config, Options const& options = {})
      : config_(checked(config)),
        patches_(ctx, config, options, shared_.patches),
        final_(ctx, config, options, shared_.final) {
    LayerInfo info{-1, config.depth, {}, {}, {}};
    for (Index i = 0; i < config.embedder_count(); ++i) {
      info.block = config.embedders == Embedders::shared ? -1 : i;
      embedders_.emplace_back(ctx, config, options, info, shared_.embedder);
    }
    for (Index i = 0; i < config.depth; ++i) {
      blocks_.emplace_back(ctx, config, options, i, shared_.block);
    }
  }

  DitConfig const& config() const noexcept { return config_; }
  diffusion::BackboneShape shape() const { return config_.shape(); }

  Saved saved(Arena& arena, Index samples) const {
    return take(arena, samples, config_.depth, config_.recompute == Recompute::blocks, true);
  }
  Evaluation evaluation(Arena& arena, Index samples) const {
    return {take(arena, samples, 1, true, false)};
  }

  std::size_t scratch_bytes(Context<Exec> const& ctx, Index samples) const {
    Arena measuring;
    (void)gradients(measuring, samples);
    for (Block const& block : blocks_) {
      block.scratch(ctx, measuring, samples);
    }
    embedders_.front().scratch(measuring, samples);
    final_.scratch(measuring, samples);
    patches_.scratch(measuring, samples);
    return measuring.peak();
  }

  /// out [samples, out_channels * height * width].
  void forward(Context<Exec>& ctx, Input const& input, Matrix<P, Exec> out,
               Saved const& saved) const {
    kernels::resolve_labels(ctx, input.labels, config_.classes, saved.labels);
    auto const batch = batch_of(saved);
    embed(ctx, input, batch, saved);
    GatedBranch<P, Exec> x{saved.streams.front().residual};
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      auto const& inner = saved.inner[i];
      auto const& stream = stream_of(saved, i);
      blocks_[i].forward(ctx, batch, x, saved.modulations[i], inner, stream);
      x = blocks_[i].output(saved.modulations[i], inner, stream);
    }
    final_.forward(ctx, batch, x, saved.embedders.front().silu, saved.final, out);
  }

  void evaluate(Context<Exec>& ctx, Input const& input, Matrix<P, Exec> out,
                Evaluation const& evaluation) const {
    forward(ctx, input, out, evaluation);
  }

  /// Adds to the gradients of trained parameters; d_out is overwritten. d_x, where given, receives
  /// the gradient of the images.
  void backward(Context<Exec>& ctx, Input const& input, Matrix<P, Exec> d_out, Saved const& saved,
                Matrix<P, Exec> d_x = {}) const {
    auto const batch = batch_of(saved);
    bool const recompute = config_.recompute == Recompute::blocks;
    bool const condition = condition_trained();
    Frame const frame(ctx.scratch());
    auto const d = gradients(ctx.scratch(), input.samples());
    auto const last = blocks_.size() - 1;
    {
      GradientSink<P, Exec> sink;
      if (condition) {
        for (auto const& d_silu : d.silu) {
          Kokkos::deep_copy(ctx.exec(), d_silu, Real{});
        }
        sink = GradientSink<P, Exec>(d.silu.front(), true);
      }
      final_.backward(
          ctx, batch,
          blocks_[last].output(saved.modulations[last], saved.inner[last], stream_of(saved, last)),
          saved.embedders.front().silu, saved.final, d_out, d.residual, d.branch,
          condition ? blocks_[last].output_gate_gradient(d.modulations[last])
                    : kernels::RowsOf<Real, Exec>{},
          sink);
    }
    for (std::size_t i = blocks_.size(); i-- > 0;) {
      auto const& inner = saved.inner[i];
      auto const& stream = stream_of(saved, i);
      if (recompute && i < last) {
        blocks_[i].forward(ctx, batch, {stream.residual}, saved.modulations[i], inner, stream);
      }
      GatedBranch<P, Exec> x{stream.residual};
      kernels::RowsOf<Real, Exec> d_gate;
      if (i > 0) {
        auto const& before = stream_of(saved, i - 1);
        x.branch = before.branch;
        x.gate = blocks_[i - 1].output(saved.modulations[i - 1], inner, before).gate;
        if (condition) {
          d_gate = blocks_[i - 1].output_gate_gradient(d.modulations[i - 1]);
        }
      }
      auto const d_modulation = condition ? d.modulations[i] : Matrix<P, Exec>();
      blocks_[i].backward(ctx, batch, x, d_gate, saved.modulations[i], inner, stream, d.residual,
                          d.branch, d_modulation);
      if (condition) {
        std::size_t const e = embedder_of(i);
        GradientSink<P, Exec> sink(d.silu[e], true);
        blocks_[i].modulate_backward(ctx, saved.embedders[e].silu, batch, d_modulation, sink,
                                     saved.modulations[i]);
      }
    }
    if (condition) {
      for (std::size_t e = 0; e < embedders_.size(); ++e) {
        embedders_[e].backward(ctx, input.labels, per_sample(batch), d.silu[e], saved.embedders[e]);
      }
    }
    patches_.backward(ctx, batch, d.residual, saved.patches, d_x);
  }

  /// All parameters once, in the order of the original's files, with its names; embedders of blocks
  /// are "blocks.i.t_embedder..." and "blocks.i.y_embedder...". What adapters of all blocks share
  /// comes last, as "shared.blocks...".
  void parameters(ParameterList<P, Exec>& list) const {
    using Scope = typename ParameterList<P, Exec>::Scope;
    patches_.parameters(list);
    if (config_.embedders == Embedders::shared) {
      embedders_.front().parameters(list);
    }
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      Scope const scope(list, "blocks." + std::to_string(i));
      typename ParameterList<P, Exec>::Block const block(list, static_cast<Index>(i));
      if (config_.embedders == Embedders::per_block) {
        embedders_[i].parameters(list);
      }
      blocks_[i].parameters(list);
    }
    {
      Scope const scope(list, "final_layer", role::final::name);
      final_.parameters(list);
    }
    Scope const scope(list, "shared");
    shared_.parameters(list);
  }

private:
  struct Gradients {
    Matrix<P, Exec> residual, branch;          // [rows, width]
    std::vector<Matrix<P, Exec>> modulations;  // [samples, 6 width] a block
    std::vector<Matrix<P, Exec>> silu;         // [samples, width] an embedder
  };

  static DitConfig const& checked(DitConfig const& config) {
    config.check();
    return config;
  }
  Batch<P, Exec> batch_of(Saved const& saved) const {
    return {config_.tokens(), saved.labels, config_.classes, {}};
  }
  static Batch<P, Exec> per_sample(Batch<P, Exec> batch) {
    batch.rows_per_sample = 1;
    return batch;
  }
  std::size_t embedder_of(std::size_t block) const { return embedders_.size() == 1 ? 0 : block; }
  static typename Block::Stream const& stream_of(Saved const& saved, std::size_t block) {
    return saved.streams[saved.streams.size() == 1 ? 0 : block];
  }

  Saved take(Arena& arena, Index samples, Index streams, bool one_inner, bool for_backward) const {
    Index const rows = samples * config_.tokens();
    Saved result{
        patches_.saved(arena, samples),           {}, {}, {}, {}, final_.saved(arena, samples),
        arena.vector<std::int64_t, Exec>(samples)};
    for (Embedder const& embedder : embedders_) {
      result.embedders.push_back(embedder.saved(arena, samples));
    }
    for (Block const& block : blocks_) {
      result.modulations.push_back(block.modulation(arena, samples));
    }
    for (Index i = 0; i < streams; ++i) {
      result.streams.push_back(blocks_.front().stream(arena, rows));
    }
    if (one_inner) {
      result.inner = over_one_memory(blocks_, arena, samples, for_backward);
    } else {
      for (Block const& block : blocks_) {
        result.inner.push_back(block.inner(arena, samples, for_backward));
      }
    }
    return result;
  }

  Gradients gradients(Arena& arena, Index samples) const {
    Index const rows = samples * config_.tokens();
    Gradients result{arena.matrix<Real, Exec>(rows, config_.width),
                     arena.matrix<Real, Exec>(rows, config_.width),
                     {},
                     {}};
    for (Index i = 0; i < config_.depth; ++i) {
      result.modulations.push_back(arena.matrix<Real, Exec>(samples, 6 * config_.width));
    }
    for (Index i = 0; i < config_.embedder_count(); ++i) {
      result.silu.push_back(arena.matrix<Real, Exec>(samples, config_.width));
    }
    return result;
  }

  bool condition_trained() const {
    bool any = final_.modulation_trained();
    for (Embedder const& embedder : embedders_) {
      any = any || embedder.any_trained();
    }
    for (Block const& block : blocks_) {
      any = any || block.modulation_trained();
    }
    return any;
  }

  /// Tokens to the first stream, silu(c) and the modulations of all blocks.
  void embed(Context<Exec>& ctx, Input const& input, Batch<P, Exec> const& batch,
             Saved const& saved) const {
    patches_.forward(ctx, input.x, batch, saved.streams.front().residual, saved.patches);
    for (std::size_t e = 0; e < embedders_.size(); ++e) {
      embedders_[e].forward(ctx, input, per_sample(batch), saved.embedders[e]);
    }
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      blocks_[i].modulate(ctx, saved.embedders[embedder_of(i)].silu, batch, saved.modulations[i]);
    }
  }

  DitConfig config_;
  Shared shared_;
  Patches patches_;
  std::vector<Embedder> embedders_;
  std::vector<Block> blocks_;
  Final final_;
};

/// On the default execution space.
template <Precision P, class Placement = Place<>>
using DiT = BasicDiT<Kokkos::DefaultExecutionSpace, P, Placement>;

}  // namespace dashi
