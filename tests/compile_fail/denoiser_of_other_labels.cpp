// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: Denoiser: the network must be callable as
#include <dashi/diffusion/sample.hpp>

struct Net {
  using Exec = Kokkos::DefaultExecutionSpace;
  void operator()(dashi::Context<>&, dashi::MatrixOf<float const, Exec>,
                  dashi::VectorOf<double const, Exec>, dashi::VectorOf<int const, Exec>,
                  dashi::MatrixOf<float, Exec>) const;
};
static_assert(dashi::diffusion::require_denoiser<Net, float>());
