// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "../portable/device_library.hpp"
#include "libraries.hpp"

#include <string>

namespace dashi::backends::hip {

using portable::refused;

/// Throws VendorError with the function's name when its status is not success.
inline void check(hipblasStatus_t status, char const* call) {
  if (status != HIPBLAS_STATUS_SUCCESS) {
    refused(call, "hipBLAS status " + std::to_string(static_cast<int>(status)));
  }
}
inline void check(hipsolverStatus_t status, char const* call) {
  if (status != HIPSOLVER_STATUS_SUCCESS) {
    refused(call, "hipSOLVER status " + std::to_string(static_cast<int>(status)));
  }
}
inline void check(hipError_t status, char const* call) {
  if (status != hipSuccess) {
    refused(call, hipGetErrorString(status));
  }
}

}  // namespace dashi::backends::hip
