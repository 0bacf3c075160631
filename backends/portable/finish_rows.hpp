// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>
#include <dashi/linalg/element.hpp>
#include <dashi/linalg/gemm_call.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>

namespace dashi::backends::portable {

/// Writes `count` elements of row i of a product, from column j on, whose sums over k lie at `sums`
/// (which may be C itself). For hosts: each step is a loop over contiguous numbers.
template <class In, class Out>
void finish_row(linalg::GemmCall<In, Out> const& call, Index batch, Index i, Index j0, Index count,
                linalg::AccumulateOf<In> const* sums) {
  using Acc = linalg::AccumulateOf<In>;
  constexpr Index most = 256;
  Acc const alpha = static_cast<Acc>(call.scale.alpha);
  Acc const beta = static_cast<Acc>(call.scale.beta);
  for (Index at = 0; at < count; at += most) {
    Index const n = std::min(most, count - at);
    Index const j = j0 + at;
    Out* const c = call.c.data + batch * call.c.batch_stride + i * call.c.ld + j;
    Acc value[most];
    for (Index e = 0; e < n; ++e) {
      value[e] = alpha * sums[at + e];
    }
    if (beta != 0) {
      for (Index e = 0; e < n; ++e) {
        value[e] += beta * convert<Acc>(c[e]);
      }
    }
    if (call.bias != nullptr) {
      for (Index e = 0; e < n; ++e) {
        value[e] += convert<Acc>(call.bias[j + e]);
      }
    }
    if (call.pre_activation.data != nullptr) {
      Out* const kept = call.pre_activation.data + i * call.pre_activation.ld + j;
      for (Index e = 0; e < n; ++e) {
        kept[e] = convert<Out>(value[e]);
        value[e] = convert<Acc>(kept[e]);
      }
    }
    switch (call.activation) {
      case linalg::Activation::gelu_tanh:
        for (Index e = 0; e < n; ++e) {
          value[e] = linalg::gelu_tanh(value[e]);
        }
        break;
      case linalg::Activation::silu:
        for (Index e = 0; e < n; ++e) {
          value[e] = linalg::silu(value[e]);
        }
        break;
      case linalg::Activation::none: break;
    }
    for (Index e = 0; e < n; ++e) {
      c[e] = convert<Out>(value[e]);
    }
  }
}

/// finish_row for all rows of a product whose sums are a matrix of its own, on a host space.
template <class Exec, class In, class Out>
void finish_product(Exec const& exec, linalg::GemmCall<In, Out> const& call,
                    linalg::AccumulateOf<In> const* sums, Index ld, Index batch_stride) {
  Kokkos::parallel_for(
      "dashi::gemm::epilogue",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, call.m * call.batch),
      [=](Index row) {
        Index const batch = row / call.m;
        Index const i = row % call.m;
        finish_row(call, batch, i, 0, call.n, sums + batch * batch_stride + i * ld);
      });
}

}  // namespace dashi::backends::portable
