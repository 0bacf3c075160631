// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/concept.hpp>
#include <dashi/kernels/scale_bias.hpp>
#include <dashi/kernels/scale_rows.hpp>

namespace dashi {

template <Precision P, ExecutionSpace Exec>
class ScaleBiasLayer;

/// gamma ⊙ (W x + b) with gamma and b trained: DiffFit, arXiv 2304.06648, section 3.2. Without the
/// scale only b is: BitFit, arXiv 2106.10199.
///
/// The paper scales in the shallow half of the blocks: give a function of the layer that switches
/// `scale` off in the others. Biases of maps without adapters, and the label table, are trained by
/// choosing them: train_where(list, in_scale_bias_training).
struct ScaleBias {
  bool scale = true;

  /// The bias is the map's own and not counted.
  Index count(LinearShape shape) const { return scale ? shape.out : 0; }

  template <class P, class Exec>
  using Layer = ScaleBiasLayer<P, Exec>;
};

/// What DiffFit trains: scales, biases and the label table; without scales in the net, BitFit's.
inline constexpr auto in_scale_bias_training = [](auto const& entry) {
  return entry.kind == ParameterKind::scale || entry.kind == ParameterKind::bias ||
         entry.kind == ParameterKind::embedding;
};

/// y *= gamma, which begins at one. The gradient of gamma needs y as it was: [rows, out] more.
template <Precision P, ExecutionSpace Exec>
class ScaleBiasLayer {
  using Real = typename P::storage;

public:
  static constexpr AdapterTraits traits{.trains_bias = true};
  using Shared = NothingShared<P, Exec>;
  struct Saved {
    Matrix<P, Exec> y;  ///< before the scale
  };
  using Scratch = Nothing;

  ScaleBiasLayer(Context<Exec>&, LinearShape shape, ScaleBias const& options, Shared&)
      : gamma_("dashi::scale_bias.gamma", 1, options.scale ? shape.out : 0) {}

  Saved saved(Arena& arena, Index rows) const {
    return {arena.matrix<Real, Exec>(gamma_.size() == 0 ? 0 : rows, gamma_.size())};
  }
  Scratch scratch(Arena& arena, Index rows) const {
    arena.vector<std::byte, Exec>(
        static_cast<Index>(kernels::scale_bias_adjoint_scratch<Real, Exec>(rows, gamma_.size())));
    return {};
  }

  void forward(Context<Exec>& ctx, LinearInput<P, Exec> const&, StridedMatrix<P, Exec> y,
               Saved const& saved) const {
    if (gamma_.size() > 0) {
      kernels::scale_bias<Real, Exec>(ctx, gamma_.vector(), {}, y, saved.y);
    }
  }

  void backward(Context<Exec>& ctx, LinearInput<P, Exec> const&, StridedMatrix<P, Exec> dy,
                GradientSink<P, Exec>&, Saved const& saved) const {
    if (gamma_.size() > 0) {
      kernels::scale_bias_adjoint<Real, Exec>(ctx, gamma_.vector(), dy, saved.y,
                                              gamma_.gradient_vector(), {}, 1);
    }
  }

  /// Each element of weight and bias is rounded once.
  void materialise(Context<Exec>& ctx, Condition, Matrix<P, Exec> weight,
                   Vector<P, Exec> bias) const {
    if (gamma_.size() > 0) {
      kernels::scale_rows<Real, Exec>(ctx, gamma_.vector(), weight);
      kernels::scale_bias<Real, Exec>(
          ctx, gamma_.vector(), {},
          matrix_over<Real, Exec>(bias.data(), 1, static_cast<Index>(bias.extent(0))));
    }
  }

  void parameters(ParameterList<P, Exec>& list) const {
    list.add("gamma", gamma_, ParameterKind::scale, true, Initial::constant(1));
  }

private:
  Parameter<P, Exec> gamma_;
};

}  // namespace dashi
