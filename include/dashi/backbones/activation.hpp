// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/kernels/activation.hpp>
#include <dashi/linalg/activation.hpp>

namespace dashi {

/// An activation behind a linear map: `fused` where the product's epilogue applies it, F as a pass
/// of its own.
template <class F, linalg::Activation Fused>
struct ActivationAfterLinear {
  static constexpr linalg::Activation fused = Fused;

  template <class Exec, class Provider, class X, class Y>
  static void apply(Context<Exec, Provider>& ctx, X const& x, Y const& y) {
    kernels::activate<F>(ctx, x, y);
  }
};

using GeluAfterLinear = ActivationAfterLinear<kernels::GeluTanh, linalg::Activation::gelu_tanh>;
using SiluAfterLinear = ActivationAfterLinear<kernels::Silu, linalg::Activation::silu>;

}  // namespace dashi
