// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <Kokkos_Core.hpp>

namespace dashi::linalg {

/// What happens to each element of a product at its end.
enum class Activation : unsigned char {
  none,
  gelu_tanh,  ///< x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))); Hendrycks, Gimpel 2016, section 2
  silu,       ///< x / (1 + exp(-x))
};

/// The activation of one number. (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)), so one formula serves
/// both.
template <class T>
KOKKOS_INLINE_FUNCTION T activate(Activation activation, T x) {
  constexpr T twice_root_two_over_pi = static_cast<T>(1.5957691216057308);
  switch (activation) {
    case Activation::gelu_tanh:
      return x / (T{1} + Kokkos::exp(-twice_root_two_over_pi *
                                     (x + static_cast<T>(0.044715) * x * x * x)));
    case Activation::silu: return x / (T{1} + Kokkos::exp(-x));
    case Activation::none: break;
  }
  return x;
}

}  // namespace dashi::linalg
