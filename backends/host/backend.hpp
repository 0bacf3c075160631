// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/linalg/backend.hpp>

#include "../portable/row_team.hpp"
#include "describe.hpp"
#include "factor.hpp"
#include "gemm.hpp"

#include <span>
#include <string>

namespace dashi::linalg {

/// Libraries of the host, which take pointers to its memory.
template <ExecutionSpace Exec>
  requires(backends::portable::is_host_space<Exec>)
struct Backend<Exec, provider::Host> {
  template <class In, class Out>
    requires GemmElements<In, Out>
  static void gemm(Context<Exec, provider::Host>& ctx, GemmCall<In, Out> const& call) {
    backends::host::gemm(ctx.exec(), ctx.attachments().template get<backends::host::GemmState>(),
                         call);
  }

  template <FactorElement T>
  static void svd(Context<Exec, provider::Host>& ctx, std::span<SvdCall<T> const> calls) {
    backends::host::svd(ctx.exec(), calls);
  }

  template <FactorElement T>
  static void qr(Context<Exec, provider::Host>& ctx, QrCall<T> const& call) {
    backends::host::qr(ctx.exec(), call);
  }

  static std::string describe(Context<Exec, provider::Host>& ctx) {
    return backends::host::describe(ctx.attachments().template get<backends::host::GemmState>());
  }
};

}  // namespace dashi::linalg
