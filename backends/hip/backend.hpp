// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/linalg/backend.hpp>

#include "gemm.hpp"
#include "provider.hpp"

namespace dashi::linalg {

/// Libraries of HIP.
template <>
struct Backend<Kokkos::HIP, provider::Hip> {
  using Ctx = Context<Kokkos::HIP, provider::Hip>;

  template <class In, class Out>
    requires GemmElements<In, Out>
  static void gemm(Ctx& ctx, GemmCall<In, Out> const& call) {
    backends::hip::gemm(ctx.exec(), ctx.template provider_state<backends::hip::Handles>(), call);
  }
};

}  // namespace dashi::linalg
