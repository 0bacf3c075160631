// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/enabled_backends.hpp>
#include <dashi/linalg/backend.hpp>
#include <dashi/linalg/epilogue.hpp>
#include <dashi/linalg/operand.hpp>

#include <Kokkos_Core.hpp>
#include <Kokkos_Profiling_ScopedRegion.hpp>

#include <string>

namespace dashi::linalg {

namespace detail {

/// The sentences for what keeps a product from being computed.
template <class Exec, class Provider, class A, class B, class C, int Rank>
consteval bool require_gemm() {
  static_assert(require_operand<A, Exec, Rank>());
  static_assert(require_operand<B, Exec, Rank>());
  static_assert(require_operand<C, Exec, Rank>());
  static_assert(std::is_same_v<typename A::non_const_value_type, typename B::non_const_value_type>,
                "dashi::linalg::gemm: A and B must have the same element type");
  static_assert(std::is_same_v<typename C::value_type, typename C::non_const_value_type>,
                "dashi::linalg::gemm: C is written, so its elements must not be const");
  static_assert(
      GemmElements<typename A::non_const_value_type, typename C::value_type>,
      "dashi::linalg::gemm: elements are double, float, dashi::BFloat16 or dashi::Float16, and C "
      "has the type of A and B, or float where theirs has 16 bits");
  static_assert(
      HasGemm<Exec, Provider, typename A::non_const_value_type, typename C::value_type>,
      "dashi::linalg::gemm: no dense backend for this execution space, provider and scalar type; "
      "configure with -DDASHI_BACKEND=host or portable, or the name of the device's vendor code");
  return true;
}

/// Checks the extents of a product, or of a batch of them, and writes down what is left.
template <class A, class B, class C>
auto checked_call(Op op_a, A const& a_view, Op op_b, B const& b_view, C const& c_view,
                  Scale scale) {
  GemmCall<typename A::non_const_value_type, typename C::value_type> call;
  auto const a = operand_of(a_view, "A");
  auto const b = operand_of(b_view, "B");
  auto const c = operand_of(c_view, "C");
  auto const shape = [](Op op, auto const& x) {
    return op == Op::none ? shape_text(x.rows, x.cols) : shape_text(x.cols, x.rows);
  };
  Index const a_rows = op_a == Op::none ? a.rows : a.cols;
  Index const a_cols = op_a == Op::none ? a.cols : a.rows;
  Index const b_rows = op_b == Op::none ? b.rows : b.cols;
  Index const b_cols = op_b == Op::none ? b.cols : b.rows;
  DASHI_EXPECTS(a_cols == b_rows, "op(A), " + shape(op_a, a) +
                                      ", needs as many columns as op(B), " + shape(op_b, b) +
                                      ", has rows");
  DASHI_EXPECTS(
      a_rows == c.rows && b_cols == c.cols,
      "C is " + shape_text(c.rows, c.cols) + ", but op(A) op(B) is " + shape_text(a_rows, b_cols));
  DASHI_EXPECTS((a.batch == c.batch || a.batch == 1) && (b.batch == c.batch || b.batch == 1),
                "A has " + std::to_string(a.batch) + " matrices and B " + std::to_string(b.batch) +
                    ", expected as many as C, " + std::to_string(c.batch) + ", or one");
  call.op_a = op_a;
  call.op_b = op_b;
  call.m = c.rows;
  call.n = c.cols;
  call.k = a_cols;
  call.batch = c.batch;
  call.a = {a.data, a.ld, a.batch_stride};
  call.b = {b.data, b.ld, b.batch_stride};
  call.c = {c.data, c.ld, c.batch_stride};
  call.scale = scale;
  return call;
}

template <class Exec, class Provider, class Call>
void run_gemm(Context<Exec, Provider>& ctx, Call const& call, char const* region) {
  if (call.m == 0 || call.n == 0 || call.batch == 0) {
    return;
  }
  Kokkos::Profiling::ScopedRegion const profiled(region);
  Backend<Exec, Provider>::gemm(ctx, call);
}

}  // namespace detail

/// C = alpha op(A) op(B) + beta C; beta = 0 never reads C, k = 0 leaves beta C.
///
/// A, B, C: views of rank 2, row-major, rows any distance apart. Elements: GemmElements; sums of
/// 16-bit numbers and of floats are floats. C overlaps neither A nor B. Asynchronous. Throws
/// PreconditionError for extents that do not match, VendorError when a library refuses.
template <class Exec, class Provider, class A, class B, class C>
void gemm(Context<Exec, Provider>& ctx, Op op_a, A const& a, Op op_b, B const& b, C const& c,
          Scale scale = {}) {
  if constexpr (detail::require_gemm<Exec, Provider, A, B, C, 2>()) {
    detail::run_gemm(ctx, detail::checked_call(op_a, a, op_b, b, c, scale), "dashi::linalg::gemm");
  }
}

/// The same with bias, activation and, for the adjoint, the activation's argument.
template <class Exec, class Provider, class A, class B, class C>
void gemm(Context<Exec, Provider>& ctx, Op op_a, A const& a, Op op_b, B const& b, C const& c,
          Scale scale, Epilogue<typename C::non_const_value_type, Exec> const& epilogue) {
  if constexpr (detail::require_gemm<Exec, Provider, A, B, C, 2>()) {
    auto call = detail::checked_call(op_a, a, op_b, b, c, scale);
    Index const bias = static_cast<Index>(epilogue.bias.extent(0));
    DASHI_EXPECTS(bias == 0 || bias == call.n, "bias has " + std::to_string(bias) +
                                                   " elements, C has " + std::to_string(call.n) +
                                                   " columns");
    call.bias = bias == 0 ? nullptr : epilogue.bias.data();
    call.activation = epilogue.activation;
    if (epilogue.pre_activation.size() != 0) {
      auto const pre = operand_of(epilogue.pre_activation, "pre_activation");
      DASHI_EXPECTS(pre.rows == call.m && pre.cols == call.n,
                    "pre_activation is " + detail::shape_text(pre.rows, pre.cols) + ", C is " +
                        detail::shape_text(call.m, call.n));
      call.pre_activation = {pre.data, pre.ld, 0};
    }
    detail::run_gemm(ctx, call, "dashi::linalg::gemm");
  }
}

}  // namespace dashi::linalg
