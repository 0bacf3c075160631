// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/concept.hpp>
#include <dashi/kernels/low_rank.hpp>

#include <cmath>
#include <string>

namespace dashi {

template <Precision P, ExecutionSpace Exec>
class LowRankLayer;

/// Weight change scale B A of rank r: LoRA, arXiv 2106.09685, section 4.1; scale = alpha / r, or
/// alpha / sqrt(r) where rank_stabilised (rsLoRA, arXiv 2312.03732).
struct LowRank {
  Index rank = 8;  ///< 0: no change
  double alpha = 8;
  bool rank_stabilised = false;

  Index count(LinearShape shape) const { return rank * (shape.out + shape.in); }
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
public:
  static constexpr AdapterTraits traits{};
  using Shared = NothingShared<P, Exec>;
  struct Saved {
    Matrix<P, Exec> z;  ///< x A', [rows, rank]
  };
  using Scratch = Nothing;

  LowRankLayer(Context<Exec>&, LinearShape shape, LowRank const& options, Shared&)
      : shape_(shape), scale_(options.scale()) {
    DASHI_EXPECTS(options.rank >= 0, "the rank of LowRank is " + std::to_string(options.rank) +
                                         ", expected 0 or more");
    a_ = Parameter<P, Exec>("dashi::low_rank.a", options.rank, shape.in);
    b_ = Parameter<P, Exec>("dashi::low_rank.b", shape.out, options.rank);
  }

  Saved saved(Arena& arena, Index rows) const {
    return {arena.matrix<typename P::storage, Exec>(rows, a_.rows())};
  }
  Scratch scratch(Arena& arena, Index rows) const {
    arena.vector<std::byte, Exec>(
        static_cast<Index>(kernels::low_rank_adjoint_scratch<typename P::storage, Exec>(
            rows, shape_.out, shape_.in, a_.rows())));
    return {};
  }

  void forward(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> y,
               Saved const& saved) const {
    if (a_.rows() > 0) {
      kernels::low_rank_apply(ctx, scale_, a_.matrix(), b_.matrix(), in.x, y, saved.z);
    }
  }

  void backward(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> dy,
                GradientSink<P, Exec>& dx, Saved const& saved) const {
    if (a_.rows() == 0) {
      return;
    }
    kernels::LowRankGradients<typename P::storage, Exec> gradients;
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
    if (a_.rows() > 0) {
      kernels::low_rank_fuse(ctx, scale_, a_.matrix(), b_.matrix(), weight);
    }
  }

  void parameters(ParameterList<P, Exec>& list) const {
    double const bound = 1 / std::sqrt(static_cast<double>(shape_.in));
    list.add("lora_A.weight", a_, ParameterKind::adapter, true, Initial::uniform(bound));
    list.add("lora_B.weight", b_, ParameterKind::adapter, true, Initial::zero());
  }

private:
  LinearShape shape_;
  Parameter<P, Exec> a_;
  Parameter<P, Exec> b_;
  double scale_;
};

}  // namespace dashi
