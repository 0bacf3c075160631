// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/checkpoint.hpp>
#include <dashi/io/dialects/detect.hpp>
#include <dashi/io/tensor_info.hpp>

#include <string>
#include <vector>

namespace dashi::io {

/// What must be known of a base to find the places of an adapter in it: names and shapes.
struct AdapterBase {
  std::string file;  ///< for messages
  Dialect dialect = Dialect::unknown;
  std::vector<TensorInfo> tensors;  ///< by name, bytewise; each name once
};

inline AdapterBase adapter_base(Checkpoint const& checkpoint) {
  AdapterBase base;
  base.file = checkpoint.path().string();
  base.dialect = dialect(checkpoint).dialect;
  base.tensors.reserve(checkpoint.tensors().size());
  for (TensorRef const& ref : checkpoint.tensors()) {
    base.tensors.push_back(ref.info);
  }
  return base;
}

}  // namespace dashi::io
