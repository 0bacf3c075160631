// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "../portable/device_library.hpp"

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cusolverDn.h>

#include <string>

namespace dashi::backends::cuda {

using portable::refused;

/// Throws VendorError with the function's name when its status is not success.
inline void check(cublasStatus_t status, char const* call) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    refused(call, cublasLtGetStatusString(status));
  }
}
inline void check(cusolverStatus_t status, char const* call) {
  if (status != CUSOLVER_STATUS_SUCCESS) {
    refused(call, "cuSOLVER status " + std::to_string(static_cast<int>(status)));
  }
}
inline void check(cudaError_t status, char const* call) {
  if (status != cudaSuccess) {
    refused(call, cudaGetErrorString(status));
  }
}

}  // namespace dashi::backends::cuda
