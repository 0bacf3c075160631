// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::linalg: a matrix is a row-major Kokkos::View of rank 2
#include <dashi/linalg/gemm.hpp>

void multiply(dashi::Context<Kokkos::Serial>& ctx, dashi::MatrixOf<float, Kokkos::Serial> const& a,
              Kokkos::View<float**, Kokkos::LayoutLeft, Kokkos::HostSpace> const& b) {
  dashi::linalg::gemm(ctx, dashi::linalg::Op::none, a, dashi::linalg::Op::none, b, a);
}
