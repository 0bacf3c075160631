// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>

#include <Kokkos_Macros.hpp>

#include <type_traits>

namespace dashi::kernels {

/// Type of arithmetic and sums over arrays of T: double for double, float for all narrower types.
template <class T>
using AccumulatorOf =
    std::conditional_t<std::is_same_v<std::remove_const_t<T>, double>, double, float>;

/// An element of an array as a number to compute with; exact.
template <class T>
KOKKOS_FORCEINLINE_FUNCTION constexpr AccumulatorOf<T> widened(T value) noexcept {
  return convert<AccumulatorOf<T>>(value);
}

}  // namespace dashi::kernels
