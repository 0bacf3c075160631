// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/float_types.hpp>
#include <dashi/io/dtype.hpp>

#include <string>

namespace dashi::checkpoints {

/// Whether the elements are numbers of a format that dashi converts: F64, F32, F16, BF16, F8_E4M3,
/// F8_E5M2, F8_E4M3FNUZ, F8_E5M2FNUZ.
constexpr bool is_convertible(io::Dtype dtype) noexcept {
  switch (dtype) {
    case io::Dtype::f64:
    case io::Dtype::f32:
    case io::Dtype::f16:
    case io::Dtype::bf16:
    case io::Dtype::f8_e4m3:
    case io::Dtype::f8_e5m2:
    case io::Dtype::f8_e4m3fnuz:
    case io::Dtype::f8_e5m2fnuz: return true;
    default: return false;
  }
}

/// The spellings of those, for messages.
inline std::string convertible_names() {
  std::string out;
  for (std::size_t i = 0; i < io::dtype_count; ++i) {
    auto const dtype = static_cast<io::Dtype>(i);
    if (is_convertible(dtype)) {
      out += (out.empty() ? "" : ", ") + std::string(io::name(dtype));
    }
  }
  return out;
}

/// Calls body.template operator()<T>() with the C++ type of a convertible dtype.
template <class Body>
decltype(auto) with_float_type(io::Dtype dtype, Body&& body) {
  switch (dtype) {
    case io::Dtype::f64: return body.template operator()<double>();
    case io::Dtype::f16: return body.template operator()<Float16>();
    case io::Dtype::bf16: return body.template operator()<BFloat16>();
    case io::Dtype::f8_e4m3: return body.template operator()<Float8E4M3>();
    case io::Dtype::f8_e5m2: return body.template operator()<Float8E5M2>();
    case io::Dtype::f8_e4m3fnuz: return body.template operator()<Float8E4M3Fnuz>();
    case io::Dtype::f8_e5m2fnuz: return body.template operator()<Float8E5M2Fnuz>();
    default:
      DASHI_EXPECTS(dtype == io::Dtype::f32, "the dtype must be convertible");
      return body.template operator()<float>();
  }
}

}  // namespace dashi::checkpoints
