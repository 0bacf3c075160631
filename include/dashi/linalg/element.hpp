// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>

#include <type_traits>

namespace dashi::linalg {

/// Element types of products: double, float, BFloat16, Float16.
template <class T>
concept GemmElement = std::is_same_v<T, double> || std::is_same_v<T, float> ||
    std::is_same_v<T, BFloat16> || std::is_same_v<T, Float16>;

/// Element types of factorisations.
template <class T>
concept FactorElement = std::is_same_v<T, double> || std::is_same_v<T, float>;

/// C has the type of A and B; for 16-bit A and B it may be float as well.
template <class In, class Out>
concept GemmElements = GemmElement<In> &&
    (std::is_same_v<In, Out> || (sizeof(In) == 2 && std::is_same_v<Out, float>));

/// Sums of products of doubles are doubles, all others are floats.
template <GemmElement T>
using AccumulateOf = std::conditional_t<std::is_same_v<T, double>, double, float>;

}  // namespace dashi::linalg
