// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/linalg/backend.hpp>

#include "gemm.hpp"
#include "provider.hpp"

namespace dashi::linalg {

/// Libraries of CUDA.
template <>
struct Backend<Kokkos::Cuda, provider::Cuda> {
  using Ctx = Context<Kokkos::Cuda, provider::Cuda>;

  template <class In, class Out>
    requires GemmElements<In, Out>
  static void gemm(Ctx& ctx, GemmCall<In, Out> const& call) {
    backends::cuda::gemm(ctx.exec(), ctx.template provider_state<backends::cuda::Handles>(), call);
  }
};

}  // namespace dashi::linalg
