// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/float_types.hpp>
#include <dashi/io/dtype.hpp>

#include <utility>

namespace dashi::io {

/// The dtype whose elements are values of T; defined for the floating-point types.
template <class T>
inline constexpr Dtype dtype_of = T::no_dtype_holds_this_type;
template <>
inline constexpr Dtype dtype_of<double> = Dtype::f64;
template <>
inline constexpr Dtype dtype_of<float> = Dtype::f32;
template <>
inline constexpr Dtype dtype_of<Float16> = Dtype::f16;
template <>
inline constexpr Dtype dtype_of<BFloat16> = Dtype::bf16;
template <>
inline constexpr Dtype dtype_of<Float8E4M3> = Dtype::f8_e4m3;
template <>
inline constexpr Dtype dtype_of<Float8E5M2> = Dtype::f8_e5m2;
template <>
inline constexpr Dtype dtype_of<Float8E4M3Fnuz> = Dtype::f8_e4m3fnuz;
template <>
inline constexpr Dtype dtype_of<Float8E5M2Fnuz> = Dtype::f8_e5m2fnuz;

/// Calls body.template operator()<T>() with the one of the types that `dtype` holds. It must be
/// among them.
template <class First, class... Rest, class Body>
decltype(auto) with_dtype(Dtype dtype, Body&& body) {
  if constexpr (sizeof...(Rest) > 0) {
    if (dtype != dtype_of<First>) {
      return with_dtype<Rest...>(dtype, std::forward<Body>(body));
    }
  }
  DASHI_EXPECTS(dtype == dtype_of<First>, "no type of this call holds the dtype");
  return body.template operator()<First>();
}

}  // namespace dashi::io
