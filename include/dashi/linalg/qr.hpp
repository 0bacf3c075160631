// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/enabled_backends.hpp>
#include <dashi/linalg/backend.hpp>
#include <dashi/linalg/operand.hpp>

#include <Kokkos_Core.hpp>
#include <Kokkos_Profiling_ScopedRegion.hpp>

#include <algorithm>

namespace dashi::linalg {

/// Thin QR decomposition A = Q R by Householder reflections: the columns of Q are orthonormal, R is
/// upper triangular (trapezoidal for m < n) with a diagonal of either sign.
///
/// A [m, n], Q [m, k], R [k, n], k = min(m, n); double or float, rows any distance apart; A is left
/// as it is and overlaps nothing. Fences; allocates. 4 m n^2 - 4/3 n^3 floating-point operations
/// for m >= n.
template <class Exec, class Provider, class A, class Q, class R>
void qr(Context<Exec, Provider>& ctx, A const& a_view, Q const& q_view, R const& r_view) {
  using T = typename A::non_const_value_type;
  static_assert(require_operand<A, Exec>());
  static_assert(require_operand<Q, Exec>());
  static_assert(require_operand<R, Exec>());
  static_assert(FactorElement<T>,
                "dashi::linalg::qr: elements are double or float; convert 16-bit numbers first");
  static_assert(
      HasQr<Exec, Provider, T>,
      "dashi::linalg::qr: no dense backend for this execution space, provider and scalar "
      "type; configure with -DDASHI_BACKEND=host or portable, or the name of the device's "
      "vendor code");
  auto const a = operand_of(a_view, "A");
  auto const q = operand_of(q_view, "Q");
  auto const r = operand_of(r_view, "R");
  Index const k = std::min(a.rows, a.cols);
  DASHI_EXPECTS(q.rows == a.rows && q.cols == k, "Q is " + detail::shape_text(q.rows, q.cols) +
                                                     ", expected " + detail::shape_text(a.rows, k));
  DASHI_EXPECTS(r.rows == k && r.cols == a.cols, "R is " + detail::shape_text(r.rows, r.cols) +
                                                     ", expected " + detail::shape_text(k, a.cols));
  if (k > 0) {
    Kokkos::Profiling::ScopedRegion const profiled("dashi::linalg::qr");
    Backend<Exec, Provider>::qr(
        ctx, QrCall<T>{a.rows, a.cols, a.data, a.ld, q.data, q.ld, r.data, r.ld});
  }
}

}  // namespace dashi::linalg
