// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/linalg/gemm_call.hpp>

#include "../portable/finish_in_place.hpp"
#include "../portable/team_gemm.hpp"
#include "handles.hpp"

#include <algorithm>
#include <limits>

namespace dashi::backends::hip {

/// A product by hipBLAS; bias and activation in one more pass over C. Extents above 2^31, which
/// the library's integers do not hold, and sums of nothing are left to the portable code.
///
/// The library's matrices are column-major, so it sees every one of ours transposed, and
/// C^T = op(B)^T op(A)^T: the operands change places and keep their op.
template <class In, class Out>
void gemm(Kokkos::HIP const& exec, Handles& handles, linalg::GemmCall<In, Out> const& call) {
  using linalg::Activation;
  using Scalar = linalg::AccumulateOf<In>;
  Index const largest =
      std::max({call.m, call.n, call.k, call.batch, call.a.ld, call.b.ld, call.c.ld});
  if (call.k == 0 || largest > std::numeric_limits<int>::max()) {
    portable::team_gemm<256>(exec, call);
    return;
  }
  auto const op = [](linalg::Op o) { return o == linalg::Op::none ? HIPBLAS_OP_N : HIPBLAS_OP_T; };
  auto const integer = [](Index x) { return static_cast<int>(x); };
  auto const alpha = static_cast<Scalar>(call.scale.alpha);
  auto const beta = static_cast<Scalar>(call.scale.beta);
  check(hipblasGemmStridedBatchedEx(
            handles.blas(), op(call.op_b), op(call.op_a), integer(call.n), integer(call.m),
            integer(call.k), &alpha, call.b.data, data_type<In>, integer(call.b.ld),
            call.b.batch_stride, call.a.data, data_type<In>, integer(call.a.ld),
            call.a.batch_stride, &beta, call.c.data, data_type<Out>, integer(call.c.ld),
            call.c.batch_stride, integer(call.batch), compute_type<Scalar>, HIPBLAS_GEMM_DEFAULT),
        "hipblasGemmStridedBatchedEx");
  if (call.bias != nullptr || call.activation != Activation::none ||
      call.pre_activation.data != nullptr) {
    linalg::GemmCall<In, Out> rest = call;
    rest.scale = {0, 1};
    portable::finish_in_place(exec, rest);
  }
}

}  // namespace dashi::backends::hip
