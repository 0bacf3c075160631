// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>

#include <span>

namespace dashi::metrics {

/// Images to be measured, in host memory; the caller keeps them alive.
struct ImageBatch {
  std::span<float const> values;  ///< [count, channels, height, width], in [-1, 1]
  Index count = 0;
  Index channels = 0;
  Index height = 0;
  Index width = 0;

  void expect_whole() const {
    DASHI_EXPECTS(count > 0 && channels > 0 && height > 0 && width > 0 &&
                      static_cast<Index>(values.size()) == count * channels * height * width,
                  "the batch must hold as many numbers as its extents say, and at least one image");
  }
};

}  // namespace dashi::metrics
