// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>
#include <dashi/core/float_types.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/linalg/element.hpp>
#include <dashi/linalg/gemm_call.hpp>

#include "../portable/finish_rows.hpp"

namespace dashi::backends::host {

/// `count` numbers as floats.
template <class In>
void widen_row(In const* from, float* to, Index count) {
  for (Index j = 0; j < count; ++j) {
    to[j] = widen(from[j]);
  }
}

}  // namespace dashi::backends::host

/// Loops over the rows of products; see separate_kernels.hpp.
#define DASHI_INSTANTIATE_ROWS(prefix, In, Out)                                          \
  prefix template void dashi::backends::portable::finish_row<In, Out>(                   \
      dashi::linalg::GemmCall<In, Out> const&, dashi::Index, dashi::Index, dashi::Index, \
      dashi::Index, float const*);
#define DASHI_INSTANTIATE_WIDENING(prefix, In) \
  prefix template void dashi::backends::host::widen_row<In>(In const*, float*, dashi::Index);

#if defined(DASHI_SEPARATE_KERNELS)
DASHI_INSTANTIATE_ROWS(extern, float, float)
DASHI_INSTANTIATE_ROWS(extern, dashi::BFloat16, dashi::BFloat16)
DASHI_INSTANTIATE_ROWS(extern, dashi::BFloat16, float)
DASHI_INSTANTIATE_ROWS(extern, dashi::Float16, dashi::Float16)
DASHI_INSTANTIATE_ROWS(extern, dashi::Float16, float)
DASHI_INSTANTIATE_WIDENING(extern, dashi::BFloat16)
DASHI_INSTANTIATE_WIDENING(extern, dashi::Float16)
#endif
