// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>

namespace dashi::linalg {

/// A checked singular value decomposition as a backend gets it: A [m, n] = U [m, k] diag(s) Vt [k,
/// n] with k = min(m, n) > 0, all row-major with rows ld apart, all numbers of A finite. Without
/// vectors U and Vt are null.
template <class T>
struct SvdCall {
  Index m = 0;
  Index n = 0;
  T const* a = nullptr;
  Index lda = 1;
  T* u = nullptr;
  Index ldu = 1;
  T* s = nullptr;
  T* vt = nullptr;
  Index ldvt = 1;
  Index number = -1;  ///< of the matrix in svd_batch; negative for one alone
};

/// A checked QR decomposition: A [m, n] = Q [m, k] R [k, n], k = min(m, n) > 0.
template <class T>
struct QrCall {
  Index m = 0;
  Index n = 0;
  T const* a = nullptr;
  Index lda = 1;
  T* q = nullptr;
  Index ldq = 1;
  T* r = nullptr;
  Index ldr = 1;
};

}  // namespace dashi::linalg
