// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/concept.hpp>
#include <dashi/kernels/low_rank.hpp>
#include <dashi/kernels/scale_bias.hpp>
#include <dashi/kernels/scale_rows.hpp>
#include <dashi/kernels/weight_decomposition.hpp>

#include <cmath>
#include <string>

namespace dashi {

template <Precision P, ExecutionSpace Exec>
class LowRankLayer;

/// Weight change scale B A of rank r: LoRA, arXiv 2106.09685, section 4.1; scale = alpha / r, or
/// alpha / sqrt(r) where rank_stabilised (rsLoRA, arXiv 2312.03732).
///
/// weight_decomposed is DoRA, arXiv 2402.09353: the weight is m (W + scale B A) / |W + scale B A|,
/// norms and m over rows, and m = |W| + d with d trained from zero; norms count as constants in
/// gradients (section 4.3). It reads the base's weight: nothing may be inside it, and the bias of
/// its map is frozen.
struct LowRank {
  Index rank = 8;  ///< 0: no change
  double alpha = 8;
  bool rank_stabilised = false;
  bool weight_decomposed = false;

  bool decomposes() const { return weight_decomposed && rank > 0; }
  Index count(LinearShape shape) const {
    return rank * (shape.out + shape.in) + (decomposes() ? shape.out : 0);
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
  using Sum = kernels::AccumulatorOf<Real>;

public:
  static constexpr AdapterTraits traits{};
  using Shared = NothingShared<P, Exec>;
  struct Saved {
    Matrix<P, Exec> z;  ///< x A', [rows, rank]
    // Of DoRA: the outputs before their scale, the scale, norms of the changed weight.
    Matrix<P, Exec> y{};
    Vector<P, Exec> scale{};
    VectorOf<Sum, Exec> norm{};
  };
  using Scratch = Nothing;

  LowRankLayer(Context<Exec>&, LinearShape shape, LowRank const& options, Shared&)
      : shape_(shape), scale_(options.scale()) {
    DASHI_EXPECTS(options.rank >= 0, "the rank of LowRank is " + std::to_string(options.rank) +
                                         ", expected 0 or more");
    a_ = Parameter<P, Exec>("dashi::low_rank.a", options.rank, shape.in);
    b_ = Parameter<P, Exec>("dashi::low_rank.b", shape.out, options.rank);
    magnitude_ =
        Parameter<P, Exec>("dashi::low_rank.magnitude", 1, options.decomposes() ? shape.out : 0);
  }

  /// Whether the map must be the base's own inside, with a frozen bias.
  bool reads_weight() const { return magnitude_.size() > 0; }

  Saved saved(Arena& arena, Index rows) const {
    Saved result{arena.matrix<Real, Exec>(rows, a_.rows())};
    if (reads_weight()) {
      result.y = arena.matrix<Real, Exec>(rows, shape_.out);
      result.scale = arena.vector<Real, Exec>(shape_.out);
      result.norm = arena.vector<Sum, Exec>(shape_.out);
    }
    return result;
  }
  Scratch scratch(Arena& arena, Index rows) const {
    {
      Frame const frame(arena);
      arena.vector<std::byte, Exec>(static_cast<Index>(
          kernels::low_rank_adjoint_scratch<Real, Exec>(rows, shape_.out, shape_.in, a_.rows())));
    }
    if (reads_weight()) {
      {
        Frame const frame(arena);
        take_forward(arena);
      }
      take_sums(arena);
      arena.vector<std::byte, Exec>(
          static_cast<Index>(kernels::scale_bias_adjoint_scratch<Real, Exec>(rows, shape_.out)));
    }
    return {};
  }

  void forward(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> y,
               Saved const& saved) const {
    if (a_.rows() > 0) {
      kernels::low_rank_apply(ctx, scale_, a_.matrix(), b_.matrix(), in.x, y, saved.z);
    }
    if (reads_weight()) {
      Frame const frame(ctx.scratch());
      auto const work = take_forward(ctx.scratch());
      decomposition(ctx, in.weight, in.bias, work.weight, work.base, saved.norm)
          .scales(ctx, saved.scale, work.offset);
      kernels::scale_bias<Real, Exec>(ctx, saved.scale, work.offset, y, saved.y);
    }
  }

  void backward(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> dy,
                GradientSink<P, Exec>& dx, Saved const& saved) const {
    if (a_.rows() == 0) {
      return;
    }
    if (reads_weight()) {
      back_through_scale(ctx, in.bias, dy, saved);
    }
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
    kernels::low_rank_adjoint(ctx, scale_, a_.matrix(), b_.matrix(), in.x, dy, gradients, saved.z);
  }

  void materialise(Context<Exec>& ctx, Condition, Matrix<P, Exec> weight, Vector<P, Exec>) const {
    if (a_.rows() == 0) {
      return;
    }
    if (!reads_weight()) {
      kernels::low_rank_fuse(ctx, scale_, a_.matrix(), b_.matrix(), weight);
      return;
    }
    Kokkos::View<Sum*, Exec> const norms("dashi::low_rank.norms", 2 * weight.extent(0));
    Kokkos::View<Real*, Exec> const scale("dashi::low_rank.scale", weight.extent(0));
    VectorOf<Sum, Exec> const base(norms.data(), weight.extent(0));
    VectorOf<Sum, Exec> const norm(norms.data() + weight.extent(0), weight.extent(0));
    decomposition(ctx, weight, {}, weight, base, norm)
        .scales(ctx, Vector<P, Exec>(scale.data(), scale.extent(0)), {});
    kernels::scale_rows<Real, Exec>(ctx, Vector<P, Exec>(scale.data(), scale.extent(0)), weight);
    ctx.exec().fence("dashi::LowRankLayer::materialise");
  }

  void parameters(ParameterList<P, Exec>& list) const {
    double const bound = 1 / std::sqrt(static_cast<double>(shape_.in));
    list.add("lora_A.weight", a_, ParameterKind::adapter, true, Initial::uniform(bound));
    list.add("lora_B.weight", b_, ParameterKind::adapter, true, Initial::zero());
    if (reads_weight()) {
      list.add("lora_magnitude_change", magnitude_, ParameterKind::adapter, true, Initial::zero());
    }
  }

private:
  struct Work {
    Matrix<P, Exec> weight;
    VectorOf<Sum, Exec> base;
    Vector<P, Exec> offset;
  };
  Work take_forward(Arena& arena) const {
    return {arena.matrix<Real, Exec>(shape_.out, shape_.in), arena.vector<Sum, Exec>(shape_.out),
            arena.vector<Real, Exec>(shape_.out)};
  }
  struct Sums {
    VectorOf<Sum, Exec> products, sums;
  };
  Sums take_sums(Arena& arena) const {
    return {arena.vector<Sum, Exec>(shape_.out), arena.vector<Sum, Exec>(shape_.out)};
  }

  /// `changed`, which may be the weight itself, becomes W + scale B A.
  kernels::WeightDecomposition<Real, Exec> decomposition(Context<Exec>& ctx, Matrix<P, Exec> weight,
                                                         Vector<P, Exec> bias,
                                                         Matrix<P, Exec> changed,
                                                         VectorOf<Sum, Exec> base,
                                                         VectorOf<Sum, Exec> norm) const {
    DASHI_EXPECTS(weight.data() != nullptr, "DoRA needs the weight of its base");
    kernels::row_norms<Real, Exec>(ctx, weight, base);
    if (changed.data() != weight.data()) {
      Kokkos::deep_copy(ctx.exec(), changed, weight);
    }
    kernels::low_rank_fuse(ctx, scale_, a_.matrix(), b_.matrix(), changed);
    kernels::row_norms<Real, Exec>(ctx, changed, norm);
    return {base, norm, magnitude_.vector(), bias};
  }

  void back_through_scale(Context<Exec>& ctx, Vector<P, Exec> bias, StridedMatrix<P, Exec> dy,
                          Saved const& saved) const {
    Frame const frame(ctx.scratch());
    auto const work = take_sums(ctx.scratch());
    bool const trained = magnitude_.trained();
    kernels::scale_bias_adjoint<Real, Exec>(ctx, saved.scale, dy, saved.y,
                                            trained ? work.products : VectorOf<Sum, Exec>(),
                                            trained ? work.sums : VectorOf<Sum, Exec>());
    if (trained) {
      kernels::WeightDecomposition<Real, Exec>{{}, saved.norm, magnitude_.vector(), bias}
          .add_gradient(ctx, work.products, work.sums, magnitude_.gradient_vector());
    }
  }

  LinearShape shape_;
  Parameter<P, Exec> a_;
  Parameter<P, Exec> b_;
  Parameter<P, Exec> magnitude_;  ///< what was added to the norms of the base
  double scale_;
};

}  // namespace dashi
