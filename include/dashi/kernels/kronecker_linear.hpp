// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/kernels/kronecker_adjoint.hpp>
#include <dashi/kernels/kronecker_plan.hpp>
#include <dashi/linalg/gemm.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <type_traits>

namespace dashi::kernels {

/// A frozen linear map and its adapter: y = (W + scale A ⊗ B) x.
template <class T, class Exec>
struct KroneckerLinear {
  RowsOf<T const, Exec> weight{};  ///< [m1 m2, n1 n2]
  RowsOf<T const, Exec> a{};       ///< [m1, n1]
  RowsOf<T const, Exec> b{};       ///< [m2, n2]
  double scale = 1;
  RowsOf<T, Exec> merged{};  ///< W', where the plan merges; as update_merged left it
};

namespace detail {

template <class T, class Exec>
void expect_merged(KroneckerLinear<T, Exec> const& layer) {
  expect_extents<T>(layer.merged, "the merged weight", layer.weight.rows, layer.weight.cols);
}

/// Memory that forward would not fill, or that the adjoint would take for the other order.
template <class T>
void expect_saved(KroneckerPlan const& plan, Rows<T> const& saved) {
  DASHI_EXPECTS(plan.saves() || !saved.given(),
                std::string("`saved` is given, but forward ") + name_of(plan.forward) +
                    " leaves nothing for gradients " + name_of(plan.gradient_order()));
}

}  // namespace detail

/// layer.merged = W + scale A ⊗ B: to be called after each change of W, A, B or scale when the plan
/// merges. One pass over W. Asynchronous.
template <class T, class Exec, class Provider>
void update_merged(Context<Exec, Provider>& ctx,
                   std::type_identity_t<KroneckerLinear<T, Exec>> const& layer) {
  kronecker_merge(ctx, layer.scale, view_of<Exec, T const>(layer.a),
                  view_of<Exec, T const>(layer.b), view_of<Exec, T const>(layer.weight),
                  view_of<Exec, T>(layer.merged));
}

/// Bytes of ctx.scratch() that kronecker_linear and its adjoint take under a plan.
template <class T, class Exec>
std::size_t kronecker_linear_scratch(KroneckerPlan const& plan) {
  auto const forward =
      plan.forward == KroneckerPath::materialised
          ? 0
          : kronecker_apply_scratch<T, Exec>(plan.shape, plan.forward, plan.use.rows, plan.saves());
  auto const gradients = kronecker_adjoint_scratch<T, Exec>(plan.shape, plan.gradient_order(),
                                                            plan.use.rows, plan.saves());
  return std::max(forward, plan.use.trains ? gradients : 0);
}

/// y = (W + scale A ⊗ B) x (+ bias) for every row of x, as planned: one product with W', or the
/// product with W to whose result the factored update is added.
///
/// x [T, n], y [T, m]; bias [m] or empty. `saved` [T, between(plan.gradient_order())] where
/// plan.saves(), for the adjoint; else empty (PreconditionError). Takes kronecker_linear_scratch
/// bytes. Asynchronous.
template <class T, class Exec, class Provider>
void kronecker_linear(Context<Exec, Provider>& ctx, KroneckerPlan const& plan,
                      std::type_identity_t<KroneckerLinear<T, Exec>> const& layer,
                      RowsArgument<T const, Exec> const& x, RowsArgument<T, Exec> const& y,
                      RowsArgument<T, Exec> const& saved = {},
                      std::type_identity_t<VectorOf<T const, Exec>> bias = {}) {
  using linalg::Op;
  detail::expect_saved<T>(plan, saved);
  bool const merged = plan.forward == KroneckerPath::materialised;
  if (merged) {
    detail::expect_merged(layer);
  }
  linalg::Epilogue<T, Exec> epilogue;
  epilogue.bias = bias;
  linalg::gemm(
      ctx, Op::none, view_of<Exec, T const>(x), Op::transpose,
      merged ? view_of<Exec>(read_only<T>(layer.merged)) : view_of<Exec, T const>(layer.weight),
      view_of<Exec, T>(y), {}, epilogue);
  if (!merged) {
    kronecker_apply(ctx, plan.forward, layer.scale, view_of<Exec, T const>(layer.a),
                    view_of<Exec, T const>(layer.b), view_of<Exec, T const>(x), view_of<Exec, T>(y),
                    saved);
  }
}

/// The adjoint: dx = (W + scale A ⊗ B)' dy, dA and dB; W is frozen. Gradients left empty are not
/// computed; dx_beta 1 adds to dx. `saved` as kronecker_linear left it. Takes
/// kronecker_linear_scratch bytes. Asynchronous.
template <class T, class Exec, class Provider>
void kronecker_linear_adjoint(Context<Exec, Provider>& ctx, KroneckerPlan const& plan,
                              std::type_identity_t<KroneckerLinear<T, Exec>> const& layer,
                              RowsArgument<T const, Exec> const& x,
                              RowsArgument<T const, Exec> const& dy,
                              std::type_identity_t<KroneckerGradients<T, Exec>> gradients,
                              RowsArgument<T, Exec> const& saved = {}) {
  using linalg::Op;
  detail::expect_saved<T>(plan, saved);
  bool const merged = plan.backward == KroneckerPath::materialised;
  if (merged) {
    detail::expect_merged(layer);
  }
  if (gradients.dx.given()) {
    multiply(ctx, Op::none, plain<T const>(dy), Op::none,
             merged ? read_only<T>(layer.merged) : plain<T const>(layer.weight),
             plain<T>(gradients.dx), {1, gradients.dx_beta});
    gradients.dx_beta = 1;
  }
  if (merged) {
    gradients.dx = {};
  }
  kronecker_adjoint(ctx, plan.gradient_order(), layer.scale, view_of<Exec, T const>(layer.a),
                    view_of<Exec, T const>(layer.b), view_of<Exec, T const>(x),
                    view_of<Exec, T const>(dy), gradients, saved);
}

}  // namespace dashi::kernels
