// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::linalg::svd: no dense backend for this execution space, provider and scalar
// type; configure with -DDASHI_BACKEND=
#include <dashi/linalg/svd.hpp>

namespace mine {
struct Provider {};
}  // namespace mine

/// A backend that multiplies floats and nothing else.
template <class Exec>
struct dashi::linalg::Backend<Exec, mine::Provider> {
  static void gemm(Context<Exec, mine::Provider>&, GemmCall<float, float> const&) {}
};
static_assert(dashi::linalg::HasGemm<Kokkos::Serial, mine::Provider, float>);
static_assert(!dashi::linalg::HasGemm<Kokkos::Serial, mine::Provider, double>);

void decompose(dashi::Context<Kokkos::Serial, mine::Provider>& ctx,
               dashi::MatrixOf<float, Kokkos::Serial> const& a,
               dashi::VectorOf<float, Kokkos::Serial> const& s) {
  dashi::linalg::svd(ctx, a, a, s, a);
}
