// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <Kokkos_Core.hpp>

#include <cstdint>
#include <type_traits>

namespace dashi::linalg {

/// What happens to each element of a product at its end.
enum class Activation : unsigned char {
  none,
  gelu_tanh,  ///< x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))); Hendrycks, Gimpel 2016, section 2
  silu,       ///< x / (1 + exp(-x))
};

namespace detail {

/// e^x. For floats within 2 units in the last place, without a branch, so that loops over it become
/// vector code: x = n ln 2 + r, a polynomial in r, n into the exponent. Beyond +-87 it stays at the
/// value there.
template <class T>
KOKKOS_INLINE_FUNCTION T exponential(T x) {
  if constexpr (std::is_same_v<T, float>) {
    x = x > 87.0F ? 87.0F : x;
    x = x < -87.0F ? -87.0F : x;
    constexpr float to_integer = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
    float const shifted = x * 1.44269504F + to_integer;
    float const n = shifted - to_integer;
    float const r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
    float p = 1.0F / 720;
    p = p * r + 1.0F / 120;
    p = p * r + 1.0F / 24;
    p = p * r + 1.0F / 6;
    p = p * r + 0.5F;
    p = p * r + 1.0F;
    p = p * r + 1.0F;
    auto const bits = __builtin_bit_cast(std::uint32_t, shifted);
    return p * __builtin_bit_cast(float, (bits << 23) + 0x3f800000U);
  } else {
    return Kokkos::exp(x);
  }
}

}  // namespace detail

/// (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)).
template <class T>
KOKKOS_INLINE_FUNCTION T gelu_tanh(T x) {
  constexpr T twice_root_two_over_pi = static_cast<T>(1.5957691216057308);
  return x / (T{1} + detail::exponential(-twice_root_two_over_pi *
                                         (x + static_cast<T>(0.044715) * x * x * x)));
}

template <class T>
KOKKOS_INLINE_FUNCTION T silu(T x) {
  return x / (T{1} + detail::exponential(-x));
}

template <class T>
KOKKOS_INLINE_FUNCTION T activate(Activation activation, T x) {
  switch (activation) {
    case Activation::gelu_tanh: return gelu_tanh(x);
    case Activation::silu: return silu(x);
    case Activation::none: break;
  }
  return x;
}

}  // namespace dashi::linalg
