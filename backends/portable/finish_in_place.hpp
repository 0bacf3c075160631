// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "finish_element.hpp"

#include <Kokkos_Core.hpp>

namespace dashi::backends::portable {

/// C = activation(beta C + bias): what a library's product leaves undone. alpha op(A) op(B) counts
/// as 0. One pass over C, asynchronous.
template <class Exec, class In, class Out>
void finish_in_place(Exec const& exec, linalg::GemmCall<In, Out> const& call) {
  using Policy = Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>;
  Kokkos::parallel_for(
      "dashi::portable::finish_in_place", Policy(exec, 0, call.batch * call.m * call.n),
      KOKKOS_LAMBDA(Index at) {
        Index const row = at / call.n;
        finish_element(call, row / call.m, row % call.m, at % call.n, linalg::AccumulateOf<In>{});
      });
}

}  // namespace dashi::backends::portable
