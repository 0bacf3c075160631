// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>

#include <hipblas/hipblas-version.h>
#if hipblasVersionMajor >= 2
#define HIPBLAS_V2  // the interface with hipDataType, the only one from 3 on
#endif
#include <hip/hip_runtime_api.h>
#include <hipblas/hipblas.h>
#include <hipsolver/hipsolver.h>

#include <type_traits>

namespace dashi::backends::hip {

// ROCm 6 renamed the enumerations of element types and split off those of arithmetic.
#if hipblasVersionMajor >= 2
using DataType = hipDataType;
using ComputeType = hipblasComputeType_t;
template <class T>
inline constexpr DataType data_type = std::is_same_v<T, double>     ? HIP_R_64F
                                      : std::is_same_v<T, float>    ? HIP_R_32F
                                      : std::is_same_v<T, BFloat16> ? HIP_R_16BF
                                                                    : HIP_R_16F;
template <class T>
inline constexpr ComputeType compute_type =
    std::is_same_v<T, double> ? HIPBLAS_COMPUTE_64F : HIPBLAS_COMPUTE_32F;
#else
using DataType = hipblasDatatype_t;
using ComputeType = hipblasDatatype_t;
template <class T>
inline constexpr DataType data_type = std::is_same_v<T, double>     ? HIPBLAS_R_64F
                                      : std::is_same_v<T, float>    ? HIPBLAS_R_32F
                                      : std::is_same_v<T, BFloat16> ? HIPBLAS_R_16B
                                                                    : HIPBLAS_R_16F;
template <class T>
inline constexpr ComputeType compute_type =
    std::is_same_v<T, double> ? HIPBLAS_R_64F : HIPBLAS_R_32F;
#endif

}  // namespace dashi::backends::hip
