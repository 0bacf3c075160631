// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/concept.hpp>
#include <dashi/kernels/low_rank.hpp>
#include <dashi/kernels/scale_bias.hpp>
#include <dashi/kernels/scale_rows.hpp>
#include <dashi/kernels/weight_decomposition.hpp>
#include <dashi/linalg/gemm.hpp>

#include <cstddef>

namespace dashi::detail {

/// DoRA's magnitudes, arXiv 2402.09353: of V = W + the change, rows or columns get the norms m =
/// |W| + d, d trained from zero. f = m / |V| scales the outputs of the map, or its inputs.
template <Precision P, ExecutionSpace Exec>
class LowRankMagnitude {
  using Real = typename P::storage;
  using Sum = kernels::AccumulatorOf<Real>;
  using Decomposition = kernels::WeightDecomposition<Real, Exec>;

public:
  struct Saved {
    Matrix<P, Exec> before{};  ///< rows: y before f, [rows, out]
    Matrix<P, Exec> x{};       ///< columns: f x, [rows, in]
    Vector<P, Exec> scale{};   ///< f
    Vector<P, Exec> excess{};  ///< columns: f - 1
    VectorOf<Sum, Exec> norm{};
  };

  LowRankMagnitude() = default;
  LowRankMagnitude(LinearShape shape, bool per_input)
      : shape_(shape),
        per_input_(per_input),
        change_("dashi::low_rank.magnitude", 1, per_input ? shape.in : shape.out) {}

  bool given() const { return change_.size() > 0; }
  bool per_input() const { return given() && per_input_; }
  bool trained() const { return change_.trained(); }
  Parameter<P, Exec> const& change() const { return change_; }

  Saved saved(Arena& arena, Index rows) const {
    Saved result;
    if (given()) {
      Index const size = change_.size();
      (per_input_ ? result.x : result.before) = arena.matrix<Real, Exec>(rows, size);
      result.scale = arena.vector<Real, Exec>(size);
      result.excess = arena.vector<Real, Exec>(per_input_ ? size : 0);
      result.norm = arena.vector<Sum, Exec>(size);
    }
    return result;
  }

  /// Takes what a call takes at most, beside `inner` bytes while an adjoint's own products run.
  void scratch(Arena& arena, Index rows, std::size_t inner) const {
    {
      Frame const frame(arena);
      take_forward(arena);
    }
    take_backward(arena, rows);
    {
      Frame const frame(arena);
      arena.vector<std::byte, Exec>(static_cast<Index>(inner));
    }
    arena.vector<std::byte, Exec>(
        static_cast<Index>(kernels::scale_bias_adjoint_scratch<Real, Exec>(rows, change_.size())));
  }

  /// Rows, after the change is in y: y = f y, the bias left as it is. `change` adds it to a weight.
  template <class Change>
  void scale_outputs(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> y,
                     Saved const& saved, Change const& change) const {
    Frame const frame(ctx.scratch());
    auto const work = take_forward(ctx.scratch());
    norms(ctx, in.weight, in.bias, work.weight, work.base, saved.norm, change)
        .scales(ctx, saved.scale, work.offset);
    kernels::scale_bias<Real, Exec>(ctx, saved.scale, work.offset, y, saved.before);
  }
  void scale_outputs_adjoint(Context<Exec>& ctx, Vector<P, Exec> bias, StridedMatrix<P, Exec> dy,
                             Saved const& saved) const {
    Frame const frame(ctx.scratch());
    auto const work = take_backward(ctx.scratch(), 0);
    auto const products = trained() ? work.products : VectorOf<Sum, Exec>();
    auto const sums = trained() ? work.sums : VectorOf<Sum, Exec>();
    kernels::scale_bias_adjoint<Real, Exec>(ctx, saved.scale, dy, saved.before, products, sums);
    add_gradient_of_magnitude(ctx, saved.norm, bias, products, sums);
  }

  /// Columns, before the change is added to y: makes f x, and W f x of the W x in y. The difference
  /// is what is multiplied: none while d is zero and the change too.
  template <class Change>
  void scale_inputs(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> y,
                    Saved const& saved, Change const& change) const {
    Frame const frame(ctx.scratch());
    auto const work = take_forward(ctx.scratch());
    norms(ctx, in.weight, {}, work.weight, work.base, saved.norm, change)
        .scales(ctx, saved.scale, {}, saved.excess);
    Kokkos::deep_copy(ctx.exec(), saved.x, in.x);
    kernels::scale_bias<Real, Exec>(ctx, saved.excess, {}, saved.x);
    linalg::gemm(ctx, linalg::Op::none, saved.x, linalg::Op::transpose, in.weight, y, {1, 1});
    Kokkos::deep_copy(ctx.exec(), saved.x, in.x);
    kernels::scale_bias<Real, Exec>(ctx, saved.scale, {}, saved.x);
  }
  /// `adjoint` is the change's: it overwrites the matrix that it is given with the gradient of its
  /// input f x, or is given an empty one. dx and d get what W f x, less W x, and the change add.
  template <class Adjoint>
  void scale_inputs_adjoint(Context<Exec>& ctx, LinearInput<P, Exec> const& in,
                            StridedMatrix<P, Exec> dy, GradientSink<P, Exec>& dx,
                            Saved const& saved, Adjoint const& adjoint) const {
    if (!trained() && !dx.wanted()) {
      adjoint(Matrix<P, Exec>());
      return;
    }
    Frame const frame(ctx.scratch());
    auto const work = take_backward(ctx.scratch(), static_cast<Index>(in.x.extent(0)));
    adjoint(work.through_change);
    linalg::gemm(ctx, linalg::Op::none, dy, linalg::Op::none, in.weight, work.through_weight);
    auto const products = trained() ? work.products : VectorOf<Sum, Exec>();
    kernels::scale_bias_adjoint<Real, Exec>(ctx, saved.excess, work.through_weight, in.x, products,
                                            {});
    kernels::scale_bias_adjoint<Real, Exec>(ctx, saved.scale, work.through_change, in.x, products,
                                            {}, 1);
    add_gradient_of_magnitude(ctx, saved.norm, {}, products, {});
    add_gradient(ctx, work.through_weight, dx);
    add_gradient(ctx, work.through_change, dx);
  }

  template <class Change>
  void materialise(Context<Exec>& ctx, Matrix<P, Exec> weight, Change const& change) const {
    Index const size = change_.size();
    Kokkos::View<Sum*, Exec> const norm("dashi::low_rank.norms", 2 * size);
    Kokkos::View<Real*, Exec> const scale("dashi::low_rank.scale", size);
    Vector<P, Exec> const f(scale.data(), scale.extent(0));
    auto const count = static_cast<std::size_t>(size);
    norms(ctx, weight, {}, weight, {norm.data(), count}, {norm.data() + size, count}, change)
        .scales(ctx, f, {});
    if (per_input_) {
      kernels::scale_bias<Real, Exec>(ctx, f, {}, weight);
    } else {
      kernels::scale_rows<Real, Exec>(ctx, f, weight);
    }
    ctx.exec().fence("dashi::LowRankLayer::materialise");
  }

private:
  struct ForwardWork {
    Matrix<P, Exec> weight;
    VectorOf<Sum, Exec> base;
    Vector<P, Exec> offset;
  };
  ForwardWork take_forward(Arena& arena) const {
    return {arena.matrix<Real, Exec>(shape_.out, shape_.in),
            arena.vector<Sum, Exec>(change_.size()),
            arena.vector<Real, Exec>(per_input_ ? 0 : change_.size())};
  }
  struct BackwardWork {
    VectorOf<Sum, Exec> products, sums;
    Matrix<P, Exec> through_change, through_weight;
  };
  BackwardWork take_backward(Arena& arena, Index rows) const {
    Index const taken = per_input_ ? rows : 0;
    return {arena.vector<Sum, Exec>(change_.size()),
            arena.vector<Sum, Exec>(per_input_ ? 0 : change_.size()),
            arena.matrix<Real, Exec>(taken, shape_.in), arena.matrix<Real, Exec>(taken, shape_.in)};
  }

  /// `changed`, which may be the weight itself, becomes V.
  template <class Change>
  Decomposition norms(Context<Exec>& ctx, Matrix<P, Exec> weight, Vector<P, Exec> bias,
                      Matrix<P, Exec> changed, VectorOf<Sum, Exec> base, VectorOf<Sum, Exec> norm,
                      Change const& change) const {
    DASHI_EXPECTS(weight.data() != nullptr, "DoRA needs the weight of its base");
    auto const take = [&](Matrix<P, Exec> of, VectorOf<Sum, Exec> to) {
      if (per_input_) {
        kernels::column_norms<Real, Exec>(ctx, of, to);
      } else {
        kernels::row_norms<Real, Exec>(ctx, of, to);
      }
    };
    take(weight, base);
    if (changed.data() != weight.data()) {
      Kokkos::deep_copy(ctx.exec(), changed, weight);
    }
    change(changed);
    take(changed, norm);
    return {base, norm, change_.vector(), bias};
  }

  void add_gradient_of_magnitude(Context<Exec>& ctx, VectorOf<Sum, Exec> norm, Vector<P, Exec> bias,
                                 VectorOf<Sum, Exec> products, VectorOf<Sum, Exec> sums) const {
    if (trained()) {
      Decomposition{{}, norm, change_.vector(), bias}.add_gradient(ctx, products, sums,
                                                                   change_.gradient_vector());
    }
  }

  LinearShape shape_{};
  bool per_input_ = false;
  Parameter<P, Exec> change_{};  ///< d: what was added to the norms of the base
};

}  // namespace dashi::detail
