// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::linalg::gemm: no dense backend for this execution space, provider and scalar
// type; configure with -DDASHI_BACKEND=
#include <dashi/linalg/gemm.hpp>

namespace mine {
struct Provider {};
}  // namespace mine

void multiply(dashi::Context<Kokkos::Serial, mine::Provider>& ctx,
              dashi::MatrixOf<float, Kokkos::Serial> const& a) {
  dashi::linalg::gemm(ctx, dashi::linalg::Op::none, a, dashi::linalg::Op::none, a, a);
}
