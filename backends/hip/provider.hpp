// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

namespace dashi::provider {

/// hipBLAS and hipSOLVER.
struct Hip {
  static constexpr char const* name = "hip";
};

}  // namespace dashi::provider
