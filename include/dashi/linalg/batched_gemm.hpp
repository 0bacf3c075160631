// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/linalg/gemm.hpp>

namespace dashi::linalg {

/// C_i = alpha op(A_i) op(B_i) + beta C_i for every i.
///
/// A, B, C: views of rank 3 (batch, rows, columns), row-major, matrices and rows any distance
/// apart; a batch extent of 1 in A or B is used for all i. Everything else as gemm. Asynchronous.
template <class Exec, class Provider, class A, class B, class C>
void batched_gemm(Context<Exec, Provider>& ctx, Op op_a, A const& a, Op op_b, B const& b,
                  C const& c, Scale scale = {}) {
  if constexpr (detail::require_gemm<Exec, Provider, A, B, C, 3>()) {
    detail::run_gemm(ctx, detail::checked_call(op_a, a, op_b, b, c, scale),
                     "dashi::linalg::batched_gemm");
  }
}

}  // namespace dashi::linalg
