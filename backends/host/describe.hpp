// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/config.hpp>

#include "gemm.hpp"

#include <string>

namespace dashi::backends::host {

#if defined(DASHI_HOST_ONEDNN)
/// Whether oneDNN has fast code for products of T on this processor.
template <class T>
bool onednn_multiplies(GemmState& state) {
  constexpr Index side = 16;
  T const operand[side * side] = {};
  T result[side * side] = {};
  linalg::GemmCall<T, T> call;
  call.m = call.n = call.k = side;
  call.a = call.b = {operand, side, 0};
  call.c = {result, side, 0};
  return state.matmul(call, linalg::Activation::none);
}
#endif

inline std::string describe([[maybe_unused]] GemmState& state) {
  std::string text;
#if defined(DASHI_HOST_ONEDNN)
  dnnl_version_t const* const version = dnnl_version();
  text += "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
          std::to_string(version->patch) + " (float";
  text += onednn_multiplies<BFloat16>(state) ? ", bfloat16" : "; bfloat16 widened to float";
  text += onednn_multiplies<Float16>(state) ? ", float16" : "; float16 widened to float";
  text += "), ";
#endif
#if defined(DASHI_HOST_OPENBLAS)
  text += std::string(openblas_get_config()) + " (double, decompositions)";
#else
  text += "portable code (double, decompositions)";
#endif
  return text;
}

}  // namespace dashi::backends::host
