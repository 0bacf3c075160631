// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/parameter_list.hpp>
#include <dashi/kernels/embedding.hpp>

#include <concepts>
#include <cstddef>
#include <string>

namespace dashi::diffusion {

/// What a backbone maps: images [channels, height, width] to [out_channels, height, width].
struct BackboneShape {
  Index channels = 0;
  Index out_channels = 0;  ///< twice `channels` where the variance is learned
  Index height = 0;
  Index width = 0;
  Index classes = 0;       ///< labels are 0 to classes - 1; `classes` itself is the null label
  bool null_class = true;  ///< false: there is no null label

  Index image_size() const { return channels * height * width; }
  Index out_size() const { return out_channels * height * width; }
  Index null_label() const { return classes; }
};

/// What a denoiser is given: samples at their noise levels.
template <Precision P, ExecutionSpace Exec>
struct DenoiserInput {
  Matrix<P, Exec> x;                       ///< [samples, channels * height * width]
  VectorOf<double const, Exec> timesteps;  ///< [samples], of the process that was trained on
  kernels::Labels<Exec> labels;            ///< [samples]
  Matrix<P, Exec> features{};              ///< of the timesteps, where the caller has them

  Index samples() const { return static_cast<Index>(x.extent(0)); }
};

namespace backbone_parts {

template <class B>
concept Types = requires {
  requires Precision<typename B::precision>;
  requires ExecutionSpace<typename B::execution_space>;
};
template <class B>
concept Shape = requires(B const& backbone) {
  { backbone.shape() } -> std::convertible_to<BackboneShape>;
};
template <class B>
concept Memory = requires(B const& backbone, Context<typename B::execution_space>& ctx,
                          Arena& arena, Index samples) {
  typename B::Saved;
  typename B::Evaluation;
  { backbone.saved(arena, samples) } -> std::same_as<typename B::Saved>;
  { backbone.evaluation(arena, samples) } -> std::same_as<typename B::Evaluation>;
  { backbone.scratch_bytes(ctx, samples) } -> std::same_as<std::size_t>;
};
template <class B>
concept Passes =
    requires(B const& backbone, Context<typename B::execution_space>& ctx,
             DenoiserInput<typename B::precision, typename B::execution_space> const& input,
             Matrix<typename B::precision, typename B::execution_space> out,
             typename B::Saved const& saved, typename B::Evaluation const& evaluation) {
  { backbone.forward(ctx, input, out, saved) } -> std::same_as<void>;
  { backbone.backward(ctx, input, out, saved) } -> std::same_as<void>;
  { backbone.evaluate(ctx, input, out, evaluation) } -> std::same_as<void>;
};
template <class B>
concept Parameters = requires(
    B const& backbone, ParameterList<typename B::precision, typename B::execution_space>& list) {
  { backbone.parameters(list) } -> std::same_as<void>;
};

}  // namespace backbone_parts

/// A denoiser with parameters: predicts [samples, out_channels * height * width] from x_t, t and a
/// label.
///
/// saved(arena, n) is what forward keeps for backward, evaluation(arena, n) what a pass without
/// gradients needs; both run once on a measuring arena and once on a real one. scratch_bytes is the
/// most that any pass takes from ctx.scratch(). backward adds to the gradients of trained
/// parameters and overwrites d_out. No pass allocates or fences.
template <class B>
concept Backbone = backbone_parts::Types<B> && backbone_parts::Shape<B> &&
    backbone_parts::Memory<B> && backbone_parts::Passes<B> && backbone_parts::Parameters<B>;

/// Says in a sentence what B lacks.
template <class B>
consteval bool require_backbone() {
  static_assert(backbone_parts::Types<B>,
                "dashi::Backbone: declare 'using precision = ...;' and 'using execution_space = "
                "...;'");
  if constexpr (backbone_parts::Types<B>) {
    static_assert(backbone_parts::Shape<B>,
                  "dashi::Backbone: declare 'BackboneShape shape() const'");
    static_assert(backbone_parts::Memory<B>,
                  "dashi::Backbone: declare 'Saved saved(Arena&, Index samples) const', "
                  "'Evaluation evaluation(Arena&, Index samples) const' with their structs and "
                  "'std::size_t scratch_bytes(Context<Exec>&, Index samples) const'");
    if constexpr (backbone_parts::Memory<B>) {
      static_assert(backbone_parts::Passes<B>,
                    "dashi::Backbone: declare 'void forward(Context<Exec>&, DenoiserInput<P, Exec> "
                    "const&, Matrix<P, Exec> out, Saved const&) const', 'backward' with d_out "
                    "in place of out, and 'evaluate' with 'Evaluation const&'");
    }
    static_assert(backbone_parts::Parameters<B>,
                  "dashi::Backbone: declare 'void parameters(ParameterList<P, Exec>&) const'");
  }
  return true;
}

}  // namespace dashi::diffusion
