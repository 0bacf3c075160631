// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

namespace dashi::linalg {

/// How a matrix enters a product.
enum class Op : unsigned char { none, transpose };

/// Factors of C = alpha op(A) op(B) + beta C. With beta = 0 C is written only, whatever it held.
struct Scale {
  double alpha = 1;
  double beta = 0;
};

}  // namespace dashi::linalg
