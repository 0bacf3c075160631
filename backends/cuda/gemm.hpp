// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/linalg/gemm_call.hpp>

#include "../portable/finish_in_place.hpp"
#include "../portable/team_gemm.hpp"
#include "matmul.hpp"

#include <cstdint>
#include <limits>

namespace dashi::backends::cuda {

/// A product by cuBLASLt, its epilogue fused where the library can: bias, tanh-GELU, keeping
/// GELU's argument (GELU is then that of the unrounded argument). One more pass over C does the
/// rest: SiLU, epilogues of doubles, rows of pre_activation that are not aligned to 16 bytes.
template <class In, class Out>
void gemm(Kokkos::Cuda const& exec, Handles& handles, linalg::GemmCall<In, Out> const& call) {
  using linalg::Activation;
  if (call.k == 0 || call.batch > std::numeric_limits<std::int32_t>::max()) {
    portable::team_gemm<256>(exec, call);
    return;
  }
  bool const keep = call.pre_activation.data != nullptr;
  bool const aligned = call.pre_activation.ld % 8 == 0 &&
                       reinterpret_cast<std::uintptr_t>(call.pre_activation.data) % 16 == 0;
  bool const bias = call.bias != nullptr;
  bool const gelu = call.activation == Activation::gelu_tanh && (!keep || aligned);
  for (FusedSteps const steps :
       {FusedSteps{bias, gelu, gelu && keep}, FusedSteps{bias, false, false}, FusedSteps{}}) {
    if (Matmul<In, Out>(call, steps).run(handles)) {
      linalg::GemmCall<In, Out> rest = call;
      rest.scale = {0, 1};
      rest.bias = steps.bias ? nullptr : call.bias;
      rest.activation = steps.gelu ? Activation::none : call.activation;
      rest.pre_activation.data = steps.keep_argument ? nullptr : call.pre_activation.data;
      if (rest.bias != nullptr || rest.activation != Activation::none ||
          rest.pre_activation.data != nullptr) {
        portable::finish_in_place(exec, rest);
      }
      return;
    }
  }
  refused("cublasLtMatmul", "no algorithm for this product");
}

}  // namespace dashi::backends::cuda
