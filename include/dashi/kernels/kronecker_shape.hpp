// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>

namespace dashi::kernels {

/// How a product with scale A ⊗ B, or the layer that it adapts, is computed.
enum class KroneckerPath : unsigned char {
  materialised,  ///< A ⊗ B is formed, added to the weight where there is one; one large product
  a_first,       ///< rows of x mixed by A, then products with B
  b_first,       ///< products with B, then their rows mixed by A
};

constexpr char const* name_of(KroneckerPath path) {
  switch (path) {
    case KroneckerPath::materialised: return "materialised";
    case KroneckerPath::a_first: return "a_first";
    case KroneckerPath::b_first: break;
  }
  return "b_first";
}

/// Extents of A [m1, n1] and B [m2, n2]; A ⊗ B is [m1 m2, n1 n2].
struct KroneckerShape {
  Index m1 = 0, n1 = 0, m2 = 0, n2 = 0;

  constexpr Index out() const { return m1 * m2; }
  constexpr Index in() const { return n1 * n2; }

  /// Multiply-adds with A and with B for one row of x. Both orders cost the same in the adjoint.
  constexpr double mixes(KroneckerPath order) const {
    double const ab = static_cast<double>(m1) * static_cast<double>(n1);
    return ab * static_cast<double>(order == KroneckerPath::a_first ? n2 : m2);
  }
  constexpr double products(KroneckerPath order) const {
    double const ab = static_cast<double>(m2) * static_cast<double>(n2);
    return ab * static_cast<double>(order == KroneckerPath::a_first ? m1 : n1);
  }

  /// Numbers a row that lie between the two steps, and that the adjoint wants again.
  constexpr Index between(KroneckerPath order) const {
    switch (order) {
      case KroneckerPath::a_first: return m1 * n2;
      case KroneckerPath::b_first: return n1 * m2;
      case KroneckerPath::materialised: break;
    }
    return 0;
  }

  /// The factored order of fewer multiply-adds: n1 m2 (n2 + m1) against m1 n2 (n1 + m2).
  constexpr KroneckerPath cheaper_order() const {
    constexpr auto a = KroneckerPath::a_first;
    constexpr auto b = KroneckerPath::b_first;
    return mixes(a) + products(a) < mixes(b) + products(b) ? a : b;
  }

  friend constexpr bool operator==(KroneckerShape const&, KroneckerShape const&) = default;
};

}  // namespace dashi::kernels
