// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/linalg/backend.hpp>

#include "packed_gemm.hpp"
#include "team_gemm.hpp"

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
};

}  // namespace dashi::linalg
