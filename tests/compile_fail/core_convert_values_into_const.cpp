// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::convert_values: the target is const
#include <dashi/kernels/convert.hpp>

void use(dashi::Context<Kokkos::Serial>& ctx, dashi::VectorOf<float, Kokkos::Serial> from,
         dashi::VectorOf<float const, Kokkos::Serial> to) {
  dashi::convert_values(ctx, from, to);
}
