// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/linear_input.hpp>
#include <dashi/core/arena.hpp>
#include <dashi/core/parameter.hpp>
#include <dashi/kernels/reduce.hpp>
#include <dashi/linalg/gemm.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>

namespace dashi {

/// What the stages of a linear map are on: y = W x + b, weight [out, in], empty where a stage
/// replaces it, bias [out, 1].
template <Precision P, ExecutionSpace Exec>
struct LinearRoot {
  using Real = typename P::storage;

  Parameter<P, Exec> weight;
  Parameter<P, Exec> bias;

  bool trained() const { return weight.trained() || bias.trained(); }

  /// Takes what backward takes.
  void scratch(Arena& arena, Index rows) const {
    arena.vector<std::byte, Exec>(
        static_cast<Index>(kernels::segment_sums_scratch_bytes<Real>(1, rows, bias.rows())));
  }

  void materialise(Context<Exec>& ctx, Matrix<P, Exec> weights, Vector<P, Exec> biases) const {
    if (weight.size() > 0) {
      Kokkos::deep_copy(ctx.exec(), weights, weight.matrix());
    }
    Kokkos::deep_copy(ctx.exec(), biases, bias.vector());
  }

  /// y [rows, out] from in.x [rows, in], by in.weight and in.bias. Asynchronous.
  void forward(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> y,
               linalg::Epilogue<Real, Exec> epilogue = {}) const {
    epilogue.bias = in.bias;
    linalg::gemm(ctx, linalg::Op::none, in.x, linalg::Op::transpose, in.weight, y, {}, epilogue);
  }

  /// Adds to the gradients of what is trained and to dx, which is by in.weight. Asynchronous.
  void backward(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> dy,
                GradientSink<P, Exec>& dx) const {
    bias_gradient(ctx, dy);
    if (weight.trained()) {
      linalg::gemm(ctx, linalg::Op::transpose, dy, linalg::Op::none, in.x, weight.gradient(),
                   {1, 1});
    }
    if (dx.wanted()) {
      double const beta = dx.beta();
      linalg::gemm(ctx, linalg::Op::none, dy, linalg::Op::none, in.weight, dx.view(), {1, beta});
    }
  }

  void bias_gradient(Context<Exec>& ctx, StridedMatrix<P, Exec> dy) const {
    if (bias.trained()) {
      kernels::column_sums(ctx, dy, bias.gradient_vector(), 1);
    }
  }
};

}  // namespace dashi
