// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: (use of deleted function|call to deleted constructor).*Context
#include <dashi/core/context.hpp>

dashi::Context<Kokkos::Serial> copy(dashi::Context<Kokkos::Serial> const& ctx) { return ctx; }
