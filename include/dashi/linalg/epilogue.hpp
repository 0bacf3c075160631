// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>
#include <dashi/linalg/activation.hpp>

namespace dashi::linalg {

/// What follows a product: C = activation(alpha op(A) op(B) + beta C + bias).
///
/// `bias` has one number a column of C, or is empty. A `pre_activation` that is not empty has C's
/// shape and receives the argument of the activation, for the adjoint; the activation is then that
/// of the kept, rounded number. It shares no memory with C.
template <class T, class Exec>
struct Epilogue {
  VectorOf<T const, Exec> bias{};
  Activation activation = Activation::none;
  MatrixOf<T, Exec> pre_activation{};
};

}  // namespace dashi::linalg
