// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/enabled_backends.hpp>
#include <dashi/linalg/backend.hpp>
#include <dashi/linalg/norms.hpp>
#include <dashi/linalg/operand.hpp>

#include <Kokkos_Core.hpp>
#include <Kokkos_Profiling_ScopedRegion.hpp>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

namespace dashi::linalg {

/// One of the decompositions of svd_batch: A [m, n], U [m, k], s [k], Vt [k, n], k = min(m, n).
template <class T, class Exec>
struct SvdProblem {
  MatrixOf<T const, Exec> a;
  MatrixOf<T, Exec> u;
  VectorOf<T, Exec> s;
  MatrixOf<T, Exec> vt;
};

namespace detail {

template <class Exec, class Provider, class T>
consteval bool require_svd() {
  static_assert(FactorElement<T>,
                "dashi::linalg::svd: elements are double or float; convert 16-bit numbers first");
  static_assert(
      HasSvd<Exec, Provider, T>,
      "dashi::linalg::svd: no dense backend for this execution space, provider and scalar "
      "type; configure with -DDASHI_BACKEND=host or portable, or the name of the device's "
      "vendor code");
  return true;
}

/// NaN or infinity would keep the iterations from ending.
template <class Exec, class Provider, class View>
void expect_finite(Context<Exec, Provider>& ctx, View const& a, char const* where) {
  double const largest = max_norm(ctx, a);
  if (!std::isfinite(largest)) {
    throw ConvergenceError(
        {.code = "not-finite",
         .file = {},
         .place = where,
         .found = "the matrix holds " + std::string(std::isnan(largest) ? "NaN" : "an infinity"),
         .expected = "finite numbers",
         .advice = {}});
  }
}

template <class Exec, class A, class S>
auto svd_values_call(A const& a_view, S const& s) {
  static_assert(require_operand<A, Exec>());
  static_assert(require_accessible<S, Exec>());
  static_assert(require_vector_view<S>());
  auto const a = operand_of(a_view, "A");
  Index const k = std::min(a.rows, a.cols);
  DASHI_EXPECTS(static_cast<Index>(s.extent(0)) == k, "s has " + std::to_string(s.extent(0)) +
                                                          " elements, A is " +
                                                          shape_text(a.rows, a.cols) + " and has " +
                                                          std::to_string(k) + " singular values");
  SvdCall<typename A::non_const_value_type> call;
  call.m = a.rows;
  call.n = a.cols;
  call.a = a.data;
  call.lda = a.ld;
  call.s = s.data();
  return call;
}

template <class Exec, class A, class U, class S, class Vt>
auto svd_call(A const& a, U const& u_view, S const& s, Vt const& vt_view) {
  static_assert(require_operand<U, Exec>());
  static_assert(require_operand<Vt, Exec>());
  auto call = svd_values_call<Exec>(a, s);
  Index const k = std::min(call.m, call.n);
  auto const u = operand_of(u_view, "U");
  auto const vt = operand_of(vt_view, "Vt");
  DASHI_EXPECTS(u.rows == call.m && u.cols == k,
                "U is " + shape_text(u.rows, u.cols) + ", expected " + shape_text(call.m, k));
  DASHI_EXPECTS(vt.rows == k && vt.cols == call.n,
                "Vt is " + shape_text(vt.rows, vt.cols) + ", expected " + shape_text(k, call.n));
  call.u = u.data;
  call.ldu = u.ld;
  call.vt = vt.data;
  call.ldvt = vt.ld;
  return call;
}

template <class Exec, class Provider, class Call, class A>
void run_svd(Context<Exec, Provider>& ctx, Call const& call, A const& a, char const* region) {
  if (call.m == 0 || call.n == 0) {
    return;
  }
  Kokkos::Profiling::ScopedRegion const profiled(region);
  expect_finite(ctx, a, region);
  Backend<Exec, Provider>::svd(ctx, std::span<Call const>(&call, 1));
}

}  // namespace detail

/// Thin singular value decomposition A = U diag(s) Vt, s descending; the columns of U and the rows
/// of Vt are orthonormal, also where s is 0.
///
/// A [m, n], U [m, k], s [k], Vt [k, n], k = min(m, n); double or float, rows any distance apart; A
/// is left as it is and overlaps nothing. Fences; allocates. About 4 m n^2 + 22 n^3 floating-point
/// operations for m >= n. Throws ConvergenceError for NaN, infinity, or an iteration that does not
/// end.
template <class Exec, class Provider, class A, class U, class S, class Vt>
void svd(Context<Exec, Provider>& ctx, A const& a, U const& u, S const& s, Vt const& vt) {
  if constexpr (detail::require_svd<Exec, Provider, typename A::non_const_value_type>()) {
    detail::run_svd(ctx, detail::svd_call<Exec>(a, u, s, vt), a, "dashi::linalg::svd");
  }
}

/// The singular values alone, in descending order.
template <class Exec, class Provider, class A, class S>
void singular_values(Context<Exec, Provider>& ctx, A const& a, S const& s) {
  if constexpr (detail::require_svd<Exec, Provider, typename A::non_const_value_type>()) {
    detail::run_svd(ctx, detail::svd_values_call<Exec>(a, s), a, "dashi::linalg::singular_values");
  }
}

/// Many decompositions at once, of any shapes: by a host's library one thread a matrix, the largest
/// first; by portable code, and on devices where four or more fit, in kernels on all matrices of
/// one shape, as many as 256 MiB of work memory allow; others by a device's library, one after the
/// other. Fences. When one does not converge ConvergenceError says which ("matrix i"); the
/// results of all are then unspecified.
template <class Exec, class Provider, class T>
void svd_batch(Context<Exec, Provider>& ctx, std::span<SvdProblem<T, Exec> const> problems) {
  if constexpr (detail::require_svd<Exec, Provider, T>()) {
    Kokkos::Profiling::ScopedRegion const profiled("dashi::linalg::svd_batch");
    std::vector<SvdCall<T>> calls;
    calls.reserve(problems.size());
    for (SvdProblem<T, Exec> const& problem : problems) {
      auto call = detail::svd_call<Exec>(problem.a, problem.u, problem.s, problem.vt);
      call.number = &problem - problems.data();
      if (call.m > 0 && call.n > 0) {
        std::string const where = "dashi::linalg::svd_batch, matrix " + std::to_string(call.number);
        detail::expect_finite(ctx, problem.a, where.c_str());
        calls.push_back(call);
      }
    }
    if (!calls.empty()) {
      Backend<Exec, Provider>::svd(ctx, std::span<SvdCall<T> const>(calls));
    }
  }
}

}  // namespace dashi::linalg
