// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Kronecker products and their adjoint as plain loops in double.
#pragma once

#include "adapters_fixture.hpp"

namespace dashi::test {

inline HostMatrix kronecker_reference(HostMatrix const& a, HostMatrix const& b) {
  HostMatrix k(a.rows * b.rows, a.cols * b.cols);
  for (Index i = 0; i < k.rows; ++i) {
    for (Index j = 0; j < k.cols; ++j) {
      k(i, j) = a(i / b.rows, j / b.cols) * b(i % b.rows, j % b.cols);
    }
  }
  return k;
}

struct KroneckerAdjointReference {
  HostMatrix dx, da, db;
};

/// Through the gradient of the formed matrix, dW = scale dy' x.
inline KroneckerAdjointReference kronecker_adjoint_reference(double scale, HostMatrix const& a,
                                                             HostMatrix const& b,
                                                             HostMatrix const& x,
                                                             HostMatrix const& dy) {
  HostMatrix const dw = product(transposed(dy), x);
  KroneckerAdjointReference r{
      sum(HostMatrix(x.rows, x.cols), scale, product(dy, kronecker_reference(a, b))),
      HostMatrix(a.rows, a.cols), HostMatrix(b.rows, b.cols)};
  for (Index i = 0; i < dw.rows; ++i) {
    for (Index j = 0; j < dw.cols; ++j) {
      Index const i1 = i / b.rows, i2 = i % b.rows, j1 = j / b.cols, j2 = j % b.cols;
      r.da(i1, j1) += scale * dw(i, j) * b(i2, j2);
      r.db(i2, j2) += scale * dw(i, j) * a(i1, j1);
    }
  }
  return r;
}

}  // namespace dashi::test
