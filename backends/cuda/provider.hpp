// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

namespace dashi::provider {

/// cuBLASLt and cuSOLVER.
struct Cuda {
  static constexpr char const* name = "cuda";
};

}  // namespace dashi::provider
