// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/linalg/backend.hpp>
#include <dashi/linalg/factor_call.hpp>

#include "packed_gemm.hpp"
#include "qr.hpp"
#include "svd.hpp"
#include "team_gemm.hpp"

#include <span>
#include <string>
#include <type_traits>

namespace dashi::backends::portable {

template <class Exec, class In, class Out>
void gemm(Exec const& exec, linalg::GemmCall<In, Out> const& call) {
  if constexpr (std::is_same_v<typename Exec::memory_space, Kokkos::HostSpace>) {
    packed_gemm(exec, call);
  } else {
    team_gemm<256>(exec, call);
  }
}

}  // namespace dashi::backends::portable

namespace dashi::linalg {

/// Kokkos only, on any execution space.
template <ExecutionSpace Exec>
struct Backend<Exec, provider::Portable> {
  template <class In, class Out>
    requires GemmElements<In, Out>
  static void gemm(Context<Exec, provider::Portable>& ctx, GemmCall<In, Out> const& call) {
    backends::portable::gemm(ctx.exec(), call);
  }

  template <FactorElement T>
  static void svd(Context<Exec, provider::Portable>& ctx, std::span<SvdCall<T> const> calls) {
    backends::portable::svd_by_shapes(ctx.exec(), calls, 1, [](SvdCall<T> const&) {});
  }

  template <FactorElement T>
  static void qr(Context<Exec, provider::Portable>& ctx, QrCall<T> const& call) {
    backends::portable::qr(ctx.exec(), call);
  }

  static std::string describe(Context<Exec, provider::Portable>&) { return "portable code"; }
};

}  // namespace dashi::linalg
