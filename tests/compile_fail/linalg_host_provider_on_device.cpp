// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::linalg::gemm: no dense backend for this execution space, provider and scalar
// type; configure with -DDASHI_BACKEND=
#include <dashi/linalg/gemm.hpp>

namespace mine {

/// An execution space whose memory a host's library must not be given.
struct Memory : Kokkos::HostSpace {
  using memory_space = Memory;
};
struct Device : Kokkos::Serial {
  using execution_space = Device;
  using memory_space = Memory;
};

}  // namespace mine

static_assert(dashi::ExecutionSpace<mine::Device>);
static_assert(dashi::linalg::HasGemm<Kokkos::Serial, dashi::provider::Host, float>);
static_assert(!dashi::linalg::HasSvd<mine::Device, dashi::provider::Host, float>);

void multiply(dashi::Context<mine::Device, dashi::provider::Host>& ctx,
              dashi::MatrixOf<float, Kokkos::Serial> const& a) {
  dashi::linalg::gemm(ctx, dashi::linalg::Op::none, a, dashi::linalg::Op::none, a, a);
}
