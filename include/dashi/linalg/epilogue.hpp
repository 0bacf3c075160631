// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>
#include <dashi/linalg/activation.hpp>

namespace dashi::linalg {

/// What follows a product: C = activation(alpha op(A) op(B) + beta C + bias).
///
/// `bias` has one number a column of C, or is empty. A `pre_activation` that is not empty has C's
/// shape and receives the argument of the activation, for the adjoint. It shares no memory with C.
///
/// For 16-bit C the order of rounding is the provider's: the portable code rounds C once, from the
/// activation of the kept, rounded argument where one is kept, else of the sum. A vendor may apply
/// the activation to the unrounded argument though it keeps the rounded one, and may round the
/// product to C's type before the bias or the activation (backends/README.md says who does what).
template <class T, class Exec>
struct Epilogue {
  VectorOf<T const, Exec> bias{};
  Activation activation = Activation::none;
  MatrixOf<T, Exec> pre_activation{};
};

}  // namespace dashi::linalg
