// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::linalg::gemm: A and B must have the same element type
#include <dashi/linalg/gemm.hpp>

void multiply(dashi::Context<Kokkos::Serial>& ctx, dashi::MatrixOf<float, Kokkos::Serial> const& a,
              dashi::MatrixOf<double, Kokkos::Serial> const& b) {
  dashi::linalg::gemm(ctx, dashi::linalg::Op::none, a, dashi::linalg::Op::none, b, a);
}
