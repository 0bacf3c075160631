// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/concept.hpp>
#include <dashi/adapters/kronecker_factor.hpp>
#include <dashi/kernels/kronecker.hpp>
#include <dashi/kernels/kronecker_adjoint.hpp>
#include <dashi/kernels/kronecker_plan.hpp>

#include <algorithm>
#include <limits>
#include <string>

namespace dashi {

template <Precision P, ExecutionSpace Exec>
class KroneckerLayer;

/// Weight change scale A ⊗ B: DiffuseKronA, arXiv 2402.17412, section 3; with low-rank factors
/// LoKr, arXiv 2309.14859.
struct Kronecker {
  /// A has as many rows and columns as the largest divisors of out and in that are not above these.
  /// The paper's best are 4 and 64.
  Index a_rows = 4;
  Index a_cols = 64;
  bool a_smaller = false;  ///< nor above their counterparts in B: LoKr's rule

  Index rank = 0;  ///< of the factors that are low-rank
  bool a_low_rank = false;
  bool b_low_rank = false;
  double alpha = 1;  ///< scale is alpha / rank where a factor is low-rank, else alpha

  /// LoKr's factorisation: both of A's extents from one factor; below 1: as square as possible.
  static Kronecker lokr(Index factor) {
    Kronecker options;
    options.a_rows = options.a_cols = factor < 1 ? std::numeric_limits<Index>::max() : factor;
    options.a_smaller = true;
    return options;
  }

  kernels::KroneckerShape shape(LinearShape map) const {
    Index const m1 = divisor(map.out, a_rows);
    Index const n1 = divisor(map.in, a_cols);
    return {m1, n1, map.out / m1, map.in / n1};
  }
  Index count(LinearShape map) const {
    auto const s = shape(map);
    auto const of = [&](Index rows, Index cols, bool low_rank) {
      return low_rank ? rank * (rows + cols) : rows * cols;
    };
    return of(s.m1, s.n1, a_low_rank) + of(s.m2, s.n2, b_low_rank);
  }
  double scale() const {
    return a_low_rank || b_low_rank ? alpha / static_cast<double>(rank) : alpha;
  }

  template <class P, class Exec>
  using Layer = KroneckerLayer<P, Exec>;

private:
  Index divisor(Index size, Index most) const {
    for (Index d = std::min(size, most); d > 1; --d) {
      if (size % d == 0 && (!a_smaller || d <= size / d)) {
        return d;
      }
    }
    return 1;
  }
};

/// y += scale (A ⊗ B) x, never formed. A begins as N(0, 1 / rows(A)^2) and B as zero, which the
/// paper found best (section 4; the deviation is its code's).
///
/// The steps are taken in the order of fewer multiply-adds and what lies between them is kept, or
/// the change is merged, as plan_kronecker has it for the number of rows; see MergingLayer.
template <Precision P, ExecutionSpace Exec>
class KroneckerLayer {
  using Real = typename P::storage;
  using Factor = KroneckerFactor<P, Exec>;

public:
  static constexpr AdapterTraits traits{};
  using Shared = NothingShared<P, Exec>;
  struct Saved {
    Matrix<P, Exec> a, b;     ///< low-rank factors, formed
    Matrix<P, Exec> between;  ///< [rows, between(order)]; empty where the change is merged
  };
  using Scratch = Nothing;

  KroneckerLayer(Context<Exec>&, LinearShape shape, Kronecker const& options, Shared&)
      : shape_(checked(options).shape(shape)),
        order_(shape_.cheaper_order()),
        scale_(options.scale()),
        a_(shape_.m1, shape_.n1, options.a_low_rank ? options.rank : 0),
        b_(shape_.m2, shape_.n2, options.b_low_rank ? options.rank : 0) {}

  /// By the rates that kernels::MachineRatio has by default, so that bits depend on sizes alone.
  bool merges(Index rows) const {
    kernels::KroneckerUse const use{.rows = rows, .storage_bytes = sizeof(Real)};
    return kernels::plan_kronecker(shape_, use, {}).merges();
  }

  Saved saved(Arena& arena, Index rows) const {
    return {a_.memory(arena), b_.memory(arena),
            arena.matrix<Real, Exec>(rows, shape_.between(order_))};
  }
  Saved merged_saved(Arena& arena, Index) const { return {a_.memory(arena), b_.memory(arena), {}}; }
  Scratch scratch(Arena& arena, Index rows) const {
    {
      Frame const materialise(arena);
      (void)a_.memory(arena);
      (void)b_.memory(arena);
    }
    (void)a_.gradient_memory(arena);
    (void)b_.gradient_memory(arena);
    for (Factor const* const factor : {&a_, &b_}) {
      Frame const frame(arena);
      (void)factor->cast_memory(arena);
    }
    arena.vector<std::byte, Exec>(static_cast<Index>(
        std::max(kernels::kronecker_apply_scratch<Real, Exec>(shape_, order_, rows, true),
                 kernels::kronecker_adjoint_scratch<Real, Exec>(shape_, order_, rows))));
    return {};
  }

  void forward(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> y,
               Saved const& saved) const {
    kernels::kronecker_apply(ctx, order_, scale_, a_.form(ctx, saved.a), b_.form(ctx, saved.b),
                             in.x, y, saved.between);
  }

  void merge(Context<Exec>& ctx, LinearInput<P, Exec> const& in, Matrix<P, Exec> weight,
             Saved const& saved) const {
    kernels::kronecker_merge(ctx, scale_, a_.form(ctx, saved.a), b_.form(ctx, saved.b), in.weight,
                             weight);
  }

  void backward(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> dy,
                GradientSink<P, Exec>& dx, Saved const& saved) const {
    Frame const frame(ctx.scratch());
    auto const da = a_.gradient_memory(ctx.scratch());
    auto const db = b_.gradient_memory(ctx.scratch());
    kernels::KroneckerGradients<Real, Exec> gradients;
    gradients.beta = 1;
    gradients.da = a_.gradient(ctx, da);
    gradients.db = b_.gradient(ctx, db);
    if (dx.wanted()) {
      gradients.dx = dx.view();
      gradients.dx_beta = dx.beta();
    }
    kernels::kronecker_adjoint(ctx, order_, scale_, a_.matrix(saved.a), b_.matrix(saved.b), in.x,
                               dy, gradients, saved.between);
    a_.add_gradient(ctx, da);
    b_.add_gradient(ctx, db);
  }

  void materialise(Context<Exec>& ctx, Condition, Matrix<P, Exec> weight, Vector<P, Exec>) const {
    Frame const frame(ctx.scratch());
    auto const a = a_.form(ctx, a_.memory(ctx.scratch()));
    kernels::kronecker_fuse(ctx, scale_, a, b_.form(ctx, b_.memory(ctx.scratch())), weight);
  }

  void parameters(ParameterList<P, Exec>& list) const {
    a_.parameters(list, "lokr_w1", 1 / static_cast<double>(shape_.m1));
    b_.parameters(list, "lokr_w2", 0);
  }

private:
  static Kronecker const& checked(Kronecker const& options) {
    bool const low_rank = options.a_low_rank || options.b_low_rank;
    DASHI_EXPECTS(options.a_rows > 0 && options.a_cols > 0,
                  "the first factor of Kronecker is " + std::to_string(options.a_rows) + " x " +
                      std::to_string(options.a_cols) + ", expected positive numbers");
    DASHI_EXPECTS(!low_rank || options.rank > 0, "the rank of Kronecker's low-rank factors is " +
                                                     std::to_string(options.rank) +
                                                     ", expected 1 or more");
    return options;
  }

  kernels::KroneckerShape shape_;
  kernels::KroneckerPath order_;
  double scale_;
  Factor a_;
  Factor b_;
};

}  // namespace dashi
