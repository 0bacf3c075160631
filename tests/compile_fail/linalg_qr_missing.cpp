// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::linalg::qr: no dense backend for this execution space, provider and scalar
// type; configure with -DDASHI_BACKEND=
#include <dashi/linalg/qr.hpp>

namespace mine {
struct Provider {};
}  // namespace mine

void decompose(dashi::Context<Kokkos::Serial, mine::Provider>& ctx,
               dashi::MatrixOf<float, Kokkos::Serial> const& a) {
  dashi::linalg::qr(ctx, a, a, a);
}
