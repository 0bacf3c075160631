// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/core/context.hpp>
#include <dashi/core/parameter_list.hpp>
#include <dashi/kernels/cast.hpp>
#include <dashi/linalg/gemm.hpp>

#include <cmath>
#include <string>
#include <type_traits>

namespace dashi {

/// A factor of a Kronecker product: a parameter [rows, cols], or the product of two, [rows, rank]
/// and [rank, cols], that is formed where it is used.
template <Precision P, ExecutionSpace Exec>
class KroneckerFactor {
  using Real = typename P::storage;
  using Sum = typename P::accumulate;

public:
  /// rank 0: one parameter.
  KroneckerFactor(Index rows, Index cols, Index rank)
      : rows_(rows),
        cols_(cols),
        left_("dashi::kronecker.left", rows, rank == 0 ? cols : rank),
        right_("dashi::kronecker.right", rank, cols) {}

  bool low_rank() const { return right_.size() > 0; }
  Index size() const { return left_.size() + right_.size(); }

  /// Memory for the product; nothing where there is one parameter.
  Matrix<P, Exec> memory(Arena& arena) const {
    return low_rank() ? arena.matrix<Real, Exec>(rows_, cols_) : Matrix<P, Exec>();
  }
  /// The factor, as form left it in `memory`.
  Matrix<P, Exec> matrix(Matrix<P, Exec> memory) const {
    return low_rank() ? memory : left_.matrix();
  }
  Matrix<P, Exec> form(Context<Exec>& ctx, Matrix<P, Exec> memory) const {
    if (low_rank()) {
      linalg::gemm(ctx, linalg::Op::none, left_.matrix(), linalg::Op::none, right_.matrix(),
                   memory);
    }
    return matrix(memory);
  }

  /// Takes what the gradient of the product needs.
  MatrixOf<Sum, Exec> gradient_memory(Arena& arena) const {
    return low_rank() ? arena.matrix<Sum, Exec>(rows_, cols_) : MatrixOf<Sum, Exec>();
  }
  /// Takes what add_gradient takes.
  Matrix<P, Exec> cast_memory(Arena& arena) const {
    constexpr bool needed = !std::is_same_v<Real, Sum>;
    return low_rank() && needed ? arena.matrix<Real, Exec>(rows_, cols_) : Matrix<P, Exec>();
  }
  /// Where the gradient is to be added: the parameter's, or `memory`, cleared. Empty: nobody wants
  /// it.
  MatrixOf<Sum, Exec> gradient(Context<Exec>& ctx, MatrixOf<Sum, Exec> memory) const {
    if (!left_.trained() && !right_.trained()) {
      return {};
    }
    if (!low_rank()) {
      return left_.gradient();
    }
    Kokkos::deep_copy(ctx.exec(), memory, Sum(0));
    return memory;
  }
  /// d(left) += d right', d(right) += left' d, from what came to gradient(). In 16-bit types d is
  /// rounded to them first, as all gradients between layers are.
  void add_gradient(Context<Exec>& ctx, MatrixOf<Sum, Exec> memory) const {
    if (!low_rank() || (!left_.trained() && !right_.trained())) {
      return;
    }
    Frame const frame(ctx.scratch());
    Matrix<P, Exec> d = cast_memory(ctx.scratch());
    if constexpr (std::is_same_v<Real, Sum>) {
      d = memory;
    } else {
      kernels::cast(ctx, memory, d);
    }
    if (left_.trained()) {
      linalg::gemm(ctx, linalg::Op::none, d, linalg::Op::transpose, right_.matrix(),
                   left_.gradient(), {1, 1});
    }
    if (right_.trained()) {
      linalg::gemm(ctx, linalg::Op::transpose, left_.matrix(), linalg::Op::none, d,
                   right_.gradient(), {1, 1});
    }
  }

  /// As "<name>", or "<name>_a" and "<name>_b". Elements begin with the given deviation: those of
  /// the product too; 0: the product is zero, and has a gradient.
  void parameters(ParameterList<P, Exec>& list, std::string const& name, double deviation) const {
    if (!low_rank()) {
      list.add(name, left_, ParameterKind::adapter, true, Initial::normal(deviation));
      return;
    }
    double const rank = static_cast<double>(right_.rows());
    bool const zero = deviation == 0;
    list.add(name + "_a", left_, ParameterKind::adapter, true,
             Initial::normal(zero ? 1 / std::sqrt(rank) : deviation));
    list.add(name + "_b", right_, ParameterKind::adapter, true,
             zero ? Initial::zero() : Initial::normal(1 / std::sqrt(rank)));
  }

private:
  Index rows_;
  Index cols_;
  Parameter<P, Exec> left_;
  Parameter<P, Exec> right_;
};

}  // namespace dashi
