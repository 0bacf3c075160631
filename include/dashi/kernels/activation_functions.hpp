// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/exponential.hpp>

#include <Kokkos_Macros.hpp>

namespace dashi::kernels {

/// x / 2 (1 + tanh u), u = sqrt(2 / pi) (x + 0.044715 x^3): Gaussian error linear units as DiT has
/// them (Hendrycks and Gimpel, arXiv 1606.08415, section 2). Computed as x sigmoid(2u), which is
/// the same number and keeps the digits of small results: error in float below 4 units in the last
/// place for x > -1, below 25 for x > -4, where u's rounding is what counts.
struct GeluTanh {
  template <class Real>
  KOKKOS_FORCEINLINE_FUNCTION static Real value(Real x) noexcept {
    return x * sigmoid(twice_u(x));
  }
  template <class Real>
  KOKKOS_FORCEINLINE_FUNCTION static Real derivative(Real x) noexcept {
    Real const s = sigmoid(twice_u(x));
    Real const slope = Real(twice_root) * (Real(1) + Real(3 * cubic) * x * x);
    return s + x * slope * s * (Real(1) - s);
  }

private:
  static constexpr double twice_root = 1.5957691216057308;  // 2 sqrt(2 / pi)
  static constexpr double cubic = 0.044715;
  template <class Real>
  KOKKOS_FORCEINLINE_FUNCTION static Real twice_u(Real x) noexcept {
    return Real(twice_root) * x * (Real(1) + Real(cubic) * x * x);
  }
};

/// x sigmoid(x) (Elfwing et al., arXiv 1702.03118). Relative error in float below 3 units in the
/// last place.
struct Silu {
  template <class Real>
  KOKKOS_FORCEINLINE_FUNCTION static Real value(Real x) noexcept {
    return x * sigmoid(x);
  }
  template <class Real>
  KOKKOS_FORCEINLINE_FUNCTION static Real derivative(Real x) noexcept {
    Real const s = sigmoid(x);
    return s + x * s * (Real(1) - s);
  }
};

}  // namespace dashi::kernels
