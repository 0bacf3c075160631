// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::linalg::svd: elements are double or float; convert 16-bit numbers first
#include <dashi/linalg/svd.hpp>

void decompose(dashi::Context<Kokkos::Serial>& ctx,
               dashi::MatrixOf<dashi::BFloat16, Kokkos::Serial> const& a,
               dashi::VectorOf<dashi::BFloat16, Kokkos::Serial> const& s) {
  dashi::linalg::svd(ctx, a, a, s, a);
}
