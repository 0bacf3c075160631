// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/concept.hpp>
#include <dashi/adapters/low_rank_magnitude.hpp>
#include <dashi/kernels/low_rank.hpp>

#include <cmath>
#include <string>

namespace dashi {

template <Precision P, ExecutionSpace Exec>
class LowRankLayer;

/// Weight change scale B A of rank r: LoRA, arXiv 2106.09685, section 4.1; scale = alpha / r, or
/// alpha / sqrt(r) where rank_stabilised (rsLoRA, arXiv 2312.03732).
///
/// weight_decomposed is DoRA, arXiv 2402.09353: the weight is m (W + scale B A) / |W + scale B A|,
/// norms and m over rows, one an output as PEFT has it, or over columns, one an input as LyCORIS
/// can; m = |W| + d with d trained from zero; norms count as constants in gradients (section 4.3).
/// It reads the base's weight: nothing may be inside it, and its map is frozen. Over columns a
/// product with the base's weight is added to a pass forward, and another to one back.
struct LowRank {
  Index rank = 8;  ///< 0: no change
  double alpha = 8;
  bool rank_stabilised = false;
  bool weight_decomposed = false;
  bool per_input = false;  ///< DoRA over columns

  bool decomposes() const { return weight_decomposed && rank > 0; }
  Index count(LinearShape shape) const {
    return rank * (shape.out + shape.in) + (!decomposes() ? 0 : per_input ? shape.in : shape.out);
  }
  double scale() const {
    auto const r = static_cast<double>(rank);
    return rank == 0 ? 0 : alpha / (rank_stabilised ? std::sqrt(r) : r);
  }

  template <class P, class Exec>
  using Layer = LowRankLayer<P, Exec>;
};

/// y += scale (x A') B'. A [rank, in] is drawn from (-1/sqrt(in), 1/sqrt(in)), as Kaiming-uniform
/// with a = sqrt(5) gives it; B [out, rank] begins at zero, so that the map begins as its base.
template <Precision P, ExecutionSpace Exec>
class LowRankLayer {
  using Real = typename P::storage;

public:
  static constexpr AdapterTraits traits{};
  using Shared = NothingShared<P, Exec>;
  struct Saved {
    Matrix<P, Exec> z;  ///< x A', [rows, rank]
    typename detail::LowRankMagnitude<P, Exec>::Saved magnitude{};
  };
  using Scratch = Nothing;

  LowRankLayer(Context<Exec>&, LinearShape shape, LowRank const& options, Shared&)
      : shape_(shape), scale_(options.scale()) {
    DASHI_EXPECTS(options.rank >= 0, "the rank of LowRank is " + std::to_string(options.rank) +
                                         ", expected 0 or more");
    a_ = Parameter<P, Exec>("dashi::low_rank.a", options.rank, shape.in);
    b_ = Parameter<P, Exec>("dashi::low_rank.b", shape.out, options.rank);
    if (options.decomposes()) {
      magnitude_ = detail::LowRankMagnitude<P, Exec>(shape, options.per_input);
    }
  }

  /// Whether the map must be the base's own inside, and frozen.
  bool reads_weight() const { return magnitude_.given(); }

  Saved saved(Arena& arena, Index rows) const {
    return {arena.matrix<Real, Exec>(rows, a_.rows()), magnitude_.saved(arena, rows)};
  }
  Scratch scratch(Arena& arena, Index rows) const {
    auto const inner =
        kernels::low_rank_adjoint_scratch<Real, Exec>(rows, shape_.out, shape_.in, a_.rows());
    if (reads_weight()) {
      magnitude_.scratch(arena, rows, inner);
    } else {
      arena.vector<std::byte, Exec>(static_cast<Index>(inner));
    }
    return {};
  }

  void forward(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> y,
               Saved const& saved) const {
    if (a_.rows() == 0) {
      return;
    }
    auto const fuse = [&](Matrix<P, Exec> weight) { add_to(ctx, weight); };
    if (magnitude_.per_input()) {
      magnitude_.scale_inputs(ctx, in, y, saved.magnitude, fuse);
    }
    kernels::low_rank_apply(ctx, scale_, a_.matrix(), b_.matrix(), input(in, saved), y, saved.z);
    if (reads_weight() && !magnitude_.per_input()) {
      magnitude_.scale_outputs(ctx, in, y, saved.magnitude, fuse);
    }
  }

  void backward(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> dy,
                GradientSink<P, Exec>& dx, Saved const& saved) const {
    if (a_.rows() == 0) {
      return;
    }
    if (magnitude_.per_input()) {
      magnitude_.scale_inputs_adjoint(ctx, in, dy, dx, saved.magnitude,
                                      [&](Matrix<P, Exec> gradient) {
                                        GradientSink<P, Exec> sink;
                                        if (gradient.data() != nullptr) {
                                          sink = GradientSink<P, Exec>(gradient);
                                        }
                                        adjoint(ctx, input(in, saved), dy, sink, saved);
                                      });
      return;
    }
    if (reads_weight()) {
      magnitude_.scale_outputs_adjoint(ctx, in.bias, dy, saved.magnitude);
    }
    adjoint(ctx, in.x, dy, dx, saved);
  }

  void materialise(Context<Exec>& ctx, Condition, Matrix<P, Exec> weight, Vector<P, Exec>) const {
    if (a_.rows() == 0) {
      return;
    }
    if (reads_weight()) {
      magnitude_.materialise(ctx, weight, [&](Matrix<P, Exec> w) { add_to(ctx, w); });
    } else {
      add_to(ctx, weight);
    }
  }

  void parameters(ParameterList<P, Exec>& list) const {
    double const bound = 1 / std::sqrt(static_cast<double>(shape_.in));
    list.add("lora_A.weight", a_, ParameterKind::adapter, true, Initial::uniform(bound));
    list.add("lora_B.weight", b_, ParameterKind::adapter, true, Initial::zero());
    if (reads_weight()) {
      list.add("lora_magnitude_change", magnitude_.change(), ParameterKind::adapter, true,
               Initial::zero());
    }
  }

private:
  void add_to(Context<Exec>& ctx, Matrix<P, Exec> weight) const {
    kernels::low_rank_fuse(ctx, scale_, a_.matrix(), b_.matrix(), weight);
  }

  /// Of the change.
  Matrix<P, Exec> input(LinearInput<P, Exec> const& in, Saved const& saved) const {
    return magnitude_.per_input() ? saved.magnitude.x : in.x;
  }

  void adjoint(Context<Exec>& ctx, Matrix<P, Exec> x, StridedMatrix<P, Exec> dy,
               GradientSink<P, Exec>& dx, Saved const& saved) const {
    kernels::LowRankGradients<Real, Exec> gradients;
    gradients.beta = 1;
    if (a_.trained()) {
      gradients.da = a_.gradient();
    }
    if (b_.trained()) {
      gradients.db = b_.gradient();
    }
    if (dx.wanted()) {
      gradients.dx = dx.view();
      gradients.dx_beta = dx.beta();
    }
    kernels::low_rank_adjoint(ctx, scale_, a_.matrix(), b_.matrix(), x, dy, gradients, saved.z);
  }

  LinearShape shape_;
  Parameter<P, Exec> a_;
  Parameter<P, Exec> b_;
  detail::LowRankMagnitude<P, Exec> magnitude_{};
  double scale_;
};

}  // namespace dashi
