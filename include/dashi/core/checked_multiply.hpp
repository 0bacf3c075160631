// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>

#include <concepts>
#include <limits>
#include <string>

namespace dashi {

/// Product of sizes; PreconditionError when a factor is negative or the product does not fit T.
/// To be used before a View is made: Kokkos computes spans modulo 2^64.
template <std::integral T, std::same_as<T>... More>
constexpr T checked_multiply(T first, More... more) {
  DASHI_EXPECTS(first >= T{0}, "sizes are not negative, got " + std::to_string(first));
  T product = first;
  auto const times = [&product](T factor) {
    DASHI_EXPECTS(factor >= T{0}, "sizes are not negative, got " + std::to_string(factor));
    DASHI_EXPECTS(factor == T{0} || product <= std::numeric_limits<T>::max() / factor,
                  std::to_string(product) + " * " + std::to_string(factor) +
                      " is more than an index can hold");
    product = static_cast<T>(product * factor);
  };
  (times(more), ...);
  return product;
}

}  // namespace dashi
