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

/// Libraries of HIP.
template <>
struct Backend<Kokkos::HIP, provider::Hip> {
  using Ctx = Context<Kokkos::HIP, provider::Hip>;

  template <class In, class Out>
    requires GemmElements<In, Out>
  static void gemm(Ctx& ctx, GemmCall<In, Out> const& call) {
    backends::hip::gemm(ctx.exec(), handles(ctx), call);
  }

  template <FactorElement T>
  static void svd(Ctx& ctx, std::span<SvdCall<T> const> calls) {
    backends::portable::svd_by_shapes(
        ctx.exec(), calls, backends::portable::worth_a_batch,
        [&](SvdCall<T> const& call) { backends::hip::svd(ctx.exec(), handles(ctx), call); });
  }

  template <FactorElement T>
  static void qr(Ctx& ctx, QrCall<T> const& call) {
    backends::hip::qr(ctx.exec(), handles(ctx), call);
  }

  static std::string describe(Ctx& ctx) {
    static_cast<void>(handles(ctx));
    return "hipBLAS " + std::to_string(hipblasVersionMajor) + "." +
           std::to_string(hipblasVersionMinor) + ", hipSOLVER";
  }

private:
  static backends::hip::Handles& handles(Ctx& ctx) {
    return ctx.attachments().template get<backends::hip::Handles>(ctx.exec());
  }
};

}  // namespace dashi::linalg
