// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>
#include <dashi/io/dtype.hpp>
#include <dashi/io/with_dtype.hpp>

#include <cstddef>
#include <string>
#include <utility>

namespace dashi::io {

/// Whether the elements are numbers of a format that dashi converts: F64, F32, F16, BF16, F8_E4M3,
/// F8_E5M2, F8_E4M3FNUZ, F8_E5M2FNUZ.
constexpr bool is_convertible(Dtype dtype) noexcept {
  switch (dtype) {
    case Dtype::f64:
    case Dtype::f32:
    case Dtype::f16:
    case Dtype::bf16:
    case Dtype::f8_e4m3:
    case Dtype::f8_e5m2:
    case Dtype::f8_e4m3fnuz:
    case Dtype::f8_e5m2fnuz: return true;
    default: return false;
  }
}

/// The spellings of those, for messages.
inline std::string convertible_names() {
  std::string out;
  for (std::size_t i = 0; i < dtype_count; ++i) {
    auto const dtype = static_cast<Dtype>(i);
    if (is_convertible(dtype)) {
      out += (out.empty() ? "" : ", ") + std::string(name(dtype));
    }
  }
  return out;
}

/// Calls body.template operator()<T>() with the C++ type of a convertible dtype.
template <class Body>
decltype(auto) with_float_type(Dtype dtype, Body&& body) {
  return with_dtype<float, BFloat16, Float16, double, Float8E4M3, Float8E5M2, Float8E4M3Fnuz,
                    Float8E5M2Fnuz>(dtype, std::forward<Body>(body));
}

}  // namespace dashi::io
