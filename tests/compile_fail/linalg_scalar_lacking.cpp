// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::linalg::gemm: elements are double, float, dashi::BFloat16 or dashi::Float16
#include <dashi/linalg/gemm.hpp>

namespace mine {
struct Scalar {  // a number of the user's own
  float value;
};
}  // namespace mine

void multiply(dashi::Context<Kokkos::Serial>& ctx,
              dashi::MatrixOf<mine::Scalar, Kokkos::Serial> const& a) {
  dashi::linalg::gemm(ctx, dashi::linalg::Op::none, a, dashi::linalg::Op::none, a, a);
}
