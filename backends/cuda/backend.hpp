// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/linalg/backend.hpp>

#include "../portable/svd.hpp"
#include "factor.hpp"
#include "gemm.hpp"
#include "provider.hpp"

#include <span>
#include <string>

namespace dashi::linalg {

/// Libraries of CUDA.
template <>
struct Backend<Kokkos::Cuda, provider::Cuda> {
  using Ctx = Context<Kokkos::Cuda, provider::Cuda>;

  template <class In, class Out>
    requires GemmElements<In, Out>
  static void gemm(Ctx& ctx, GemmCall<In, Out> const& call) {
    backends::cuda::gemm(ctx.exec(), handles(ctx), call);
  }

  template <FactorElement T>
  static void svd(Ctx& ctx, std::span<SvdCall<T> const> calls) {
    backends::portable::svd_by_shapes(
        ctx.exec(), calls, backends::portable::worth_a_batch,
        [&](SvdCall<T> const& call) { backends::cuda::svd(ctx.exec(), handles(ctx), call); });
  }

  template <FactorElement T>
  static void qr(Ctx& ctx, QrCall<T> const& call) {
    backends::cuda::qr(ctx.exec(), handles(ctx), call);
  }

  static std::string describe(Ctx& ctx) {
    int solver = 0;
    backends::cuda::check(cusolverGetVersion(&solver), "cusolverGetVersion");
    static_cast<void>(handles(ctx));
    return "cuBLASLt " + std::to_string(cublasLtGetVersion()) + ", cuSOLVER " +
           std::to_string(solver);
  }

private:
  static backends::cuda::Handles& handles(Ctx& ctx) {
    return ctx.attachments().template get<backends::cuda::Handles>(ctx.exec());
  }
};

}  // namespace dashi::linalg
