// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>
#include <dashi/linalg/activation.hpp>
#include <dashi/linalg/op.hpp>

namespace dashi::linalg {

/// A checked product as a backend gets it: `batch` products of the same shape, row-major, element
/// (i, j) of matrix b at data[b * batch_stride + i * ld + j]. m, n, batch > 0; k may be 0.
/// op(A) is m x k, op(B) is k x n.
template <class In, class Out>
struct GemmCall {
  template <class T>
  struct Matrix {
    T* data = nullptr;
    Index ld = 1;
    Index batch_stride = 0;
  };

  Op op_a = Op::none;
  Op op_b = Op::none;
  Index m = 0;
  Index n = 0;
  Index k = 0;
  Index batch = 1;
  Matrix<In const> a;
  Matrix<In const> b;
  Matrix<Out> c;
  Scale scale;
  Out const* bias = nullptr;  ///< n numbers, the same for the whole batch
  Activation activation = Activation::none;
  Matrix<Out> pre_activation;
};

}  // namespace dashi::linalg
