// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>
#include <dashi/linalg/element.hpp>
#include <dashi/linalg/gemm_call.hpp>

#include <Kokkos_Core.hpp>

namespace dashi::backends::portable {

/// Writes element (i, j) of a product whose sum over k is `sum`.
template <class In, class Out>
KOKKOS_INLINE_FUNCTION void finish_element(linalg::GemmCall<In, Out> const& call, Index batch,
                                           Index i, Index j, linalg::AccumulateOf<In> sum) {
  using Acc = linalg::AccumulateOf<In>;
  Out* const c = call.c.data + batch * call.c.batch_stride + i * call.c.ld + j;
  Acc value = static_cast<Acc>(call.scale.alpha) * sum;
  if (call.scale.beta != 0) {
    value += static_cast<Acc>(call.scale.beta) * convert<Acc>(*c);
  }
  if (call.bias != nullptr) {
    value += convert<Acc>(call.bias[j]);
  }
  if (call.pre_activation.data != nullptr) {
    Out const kept = convert<Out>(value);
    call.pre_activation.data[i * call.pre_activation.ld + j] = kept;
    value = convert<Acc>(kept);
  }
  *c = convert<Out>(linalg::activate(call.activation, value));
}

}  // namespace dashi::backends::portable
