// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: Context: the first argument must be a Kokkos execution space
#include <dashi/core/context.hpp>

void use(dashi::Context<Kokkos::HostSpace>& ctx) { ctx.fence(); }
