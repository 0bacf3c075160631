// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/tensor_info.hpp>

#include <cstddef>

namespace dashi::io {

/// A tensor of a checkpoint and the file that holds it.
struct TensorRef {
  TensorInfo info;
  std::size_t file = 0;  ///< index into Checkpoint::files()
};

}  // namespace dashi::io
