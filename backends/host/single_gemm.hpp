// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/config.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/linalg/op.hpp>

#if defined(DASHI_HOST_ONEDNN)
#include "onednn.hpp"
#endif
#if defined(DASHI_HOST_OPENBLAS)
#include <cblas.h>
#endif

#include <algorithm>
#include <limits>
#include <type_traits>

namespace dashi::backends::host {

/// A product C = alpha op(A) op(B) + beta C with row-major operands.
template <class T>
struct Product {
  linalg::Op op_a, op_b;
  Index m, n, k;
  T alpha;
  T const* a;
  Index lda;
  T const* b;
  Index ldb;
  T beta;
  T* c;
  Index ldc;
};

/// Whether a library computes products of T and these sizes.
template <class T>
bool library_takes([[maybe_unused]] Index largest) {
#if defined(DASHI_HOST_ONEDNN)
  if (std::is_same_v<T, float>) {
    return true;
  }
#endif
#if defined(DASHI_HOST_OPENBLAS)
  return largest <= std::numeric_limits<blasint>::max();
#else
  return false;
#endif
}

/// The product by oneDNN's sgemm, or by OpenBLAS; false when neither has it. oneDNN's chooses
/// between all instruction sets of this machine, and beats its own matmul for large operands.
template <class T>
bool library_gemm([[maybe_unused]] Product<T> const& p) {
#if defined(DASHI_HOST_ONEDNN)
  if constexpr (std::is_same_v<T, float>) {
    check_onednn(
        dnnl_sgemm(p.op_a == linalg::Op::none ? 'N' : 'T', p.op_b == linalg::Op::none ? 'N' : 'T',
                   p.m, p.n, p.k, p.alpha, p.a, p.lda, p.b, p.ldb, p.beta, p.c, p.ldc),
        "dnnl_sgemm");
    return true;
  }
#endif
#if defined(DASHI_HOST_OPENBLAS)
  auto const op = [](linalg::Op o) { return o == linalg::Op::none ? CblasNoTrans : CblasTrans; };
  auto const size = [](Index i) { return static_cast<blasint>(i); };
  if (!library_takes<T>(std::max({p.m, p.n, p.k, p.lda, p.ldb, p.ldc}))) {
    return false;
  }
  if constexpr (std::is_same_v<T, float>) {
    cblas_sgemm(CblasRowMajor, op(p.op_a), op(p.op_b), size(p.m), size(p.n), size(p.k), p.alpha,
                p.a, size(p.lda), p.b, size(p.ldb), p.beta, p.c, size(p.ldc));
  } else {
    cblas_dgemm(CblasRowMajor, op(p.op_a), op(p.op_b), size(p.m), size(p.n), size(p.k), p.alpha,
                p.a, size(p.lda), p.b, size(p.ldb), p.beta, p.c, size(p.ldc));
  }
  return true;
#else
  return false;
#endif
}

}  // namespace dashi::backends::host
