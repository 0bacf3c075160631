// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>

#include <library_types.h>

#include <type_traits>

namespace dashi::backends::cuda {

/// The library's name of an element type.
template <class T>
inline constexpr cudaDataType_t data_type = std::is_same_v<T, double>     ? CUDA_R_64F
                                            : std::is_same_v<T, float>    ? CUDA_R_32F
                                            : std::is_same_v<T, BFloat16> ? CUDA_R_16BF
                                                                          : CUDA_R_16F;

}  // namespace dashi::backends::cuda
