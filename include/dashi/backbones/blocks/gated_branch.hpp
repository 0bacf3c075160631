// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/core/context.hpp>
#include <dashi/core/parameter_list.hpp>
#include <dashi/kernels/layer_norm_modulate.hpp>

#include <cmath>

namespace dashi {

/// A residual and what a gate lets in: h = residual + gate[sample] * branch, or the residual alone.
template <Precision P, ExecutionSpace Exec>
struct GatedBranch {
  Matrix<P, Exec> residual{};
  Matrix<P, Exec> branch{};                                 ///< empty: none
  kernels::RowsOf<typename P::storage const, Exec> gate{};  ///< [samples, width]
};

/// What a norm keeps for its adjoint, [rows] each.
template <Precision P, ExecutionSpace Exec>
struct NormSaved {
  VectorOf<typename P::accumulate, Exec> mean, reciprocal_deviation;

  static NormSaved take(Arena& arena, Index rows) {
    return {arena.vector<typename P::accumulate, Exec>(rows),
            arena.vector<typename P::accumulate, Exec>(rows)};
  }
};

/// Gradients per sample; what is empty is not wanted.
template <class Real, class Exec>
struct NormGradients {
  kernels::RowsOf<Real, Exec> gate{}, scale{}, shift{};
};

/// h to `sum` (where there is a branch; without one the residual is copied unless it is `sum`),
/// norm(h) (1 + scale) + shift to y.
template <Precision P, ExecutionSpace Exec>
void modulated_norm(Context<Exec>& ctx, Index tokens, double epsilon, GatedBranch<P, Exec> const& x,
                    Matrix<P, Exec> sum, kernels::RowsOf<typename P::storage const, Exec> shift,
                    kernels::RowsOf<typename P::storage const, Exec> scale,
                    NormSaved<P, Exec> const& saved, Matrix<P, Exec> y) {
  kernels::LayerNormModulate<typename P::storage, Exec> norm;
  norm.x = x.residual;
  if (x.branch.extent(0) > 0) {
    norm.branch = x.branch;
    norm.gate = x.gate;
    norm.sum = sum;
  }
  norm.shift = shift;
  norm.scale = scale;
  norm.y = y;
  norm.mean = saved.mean;
  norm.reciprocal_deviation = saved.reciprocal_deviation;
  norm.rows_per_sample = tokens;
  norm.epsilon = epsilon;
  kernels::layer_norm_modulate(ctx, norm);
}

/// d_sum: in, the gradient that reaches h past the norm; out, of the residual. d_branch: out, where
/// there is a branch.
template <Precision P, ExecutionSpace Exec>
void modulated_norm_adjoint(Context<Exec>& ctx, Index tokens, GatedBranch<P, Exec> const& x,
                            Matrix<P, Exec> sum,
                            kernels::RowsOf<typename P::storage const, Exec> scale,
                            NormSaved<P, Exec> const& saved, Matrix<P, Exec> dy,
                            Matrix<P, Exec> d_sum, Matrix<P, Exec> d_branch,
                            NormGradients<typename P::storage, Exec> const& gradients,
                            bool adds = true) {
  kernels::LayerNormModulateAdjoint<typename P::storage, Exec> norm;
  norm.dy = dy;
  norm.sum = sum;
  norm.scale = scale;
  if (x.branch.extent(0) > 0) {
    norm.branch = x.branch;
    norm.gate = x.gate;
    norm.d_branch = d_branch;
    norm.d_gate = gradients.gate;
  }
  if (adds) {
    norm.other_d_sum = d_sum;
  }
  norm.d_sum = d_sum;
  norm.d_scale = gradients.scale;
  norm.d_shift = gradients.shift;
  norm.mean = saved.mean;
  norm.reciprocal_deviation = saved.reciprocal_deviation;
  norm.rows_per_sample = tokens;
  kernels::layer_norm_modulate_adjoint(ctx, norm);
}

/// Takes what modulated_norm_adjoint takes.
template <Precision P, ExecutionSpace Exec>
void take_norm_scratch(Arena& arena, Index samples, Index tokens, Index width) {
  Frame const frame(arena);
  arena.vector<std::byte, Exec>(static_cast<Index>(
      kernels::layer_norm_modulate_scratch_bytes<typename P::storage>(samples, tokens, width)));
}

/// The bound of Xavier's uniform initialisation.
inline Initial xavier(Index out, Index in) {
  return Initial::uniform(std::sqrt(6.0 / static_cast<double>(out + in)));
}

}  // namespace dashi
