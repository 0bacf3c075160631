// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/enabled_backends.hpp>
#include <dashi/linalg/backend.hpp>

#include <string>

namespace dashi::linalg {

/// What computes products and decompositions on this machine, in one line for a summary: libraries,
/// their versions, and which element types are widened to float.
template <class Exec, class Provider>
std::string describe(Context<Exec, Provider>& ctx) {
  static_assert(
      requires { Backend<Exec, Provider>::describe(ctx); },
      "dashi::linalg::describe: no dense backend for this execution space and provider; configure "
      "with -DDASHI_BACKEND=host or portable, or the name of the device's vendor code");
  return Backend<Exec, Provider>::describe(ctx);
}

}  // namespace dashi::linalg
