// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/linalg/factor_call.hpp>

#include "householder.hpp"

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace dashi::backends::portable {

template <class T, class Exec>
using WorkMatrix = Kokkos::View<T**, Kokkos::LayoutRight, typename Exec::memory_space>;
template <class T, class Exec>
using WorkVector = Kokkos::View<T*, typename Exec::memory_space>;

/// out(j, i) = scale * a(i, j): columns become rows, which the reflections work on.
template <class Exec, class T>
void transpose_into(Exec const& exec, T const* a, Index lda, Index rows, Index cols, T* out,
                    Index ld, T scale) {
  Kokkos::parallel_for(
      "dashi::portable::transpose",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, cols), KOKKOS_LAMBDA(Index j) {
        for (Index i = 0; i < rows; ++i) {
          out[j * ld + i] = scale * a[i * lda + j];
        }
      });
}

/// The power of two that brings the largest magnitude of a finite matrix to [0.5, 1): no square
/// overflows, and what underflows is far below the rounding errors.
template <class Exec, class T>
T scale_of(Exec const& exec, T const* a, Index rows, Index cols, Index ld) {
  T largest{};
  Kokkos::parallel_reduce(
      "dashi::portable::scale", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, rows),
      KOKKOS_LAMBDA(Index i, T & most) {
        for (Index j = 0; j < cols; ++j) {
          T const x = Kokkos::fabs(a[i * ld + j]);
          most = x > most ? x : most;
        }
      },
      Kokkos::Max<T>(largest));
  if (!(largest > T{}) || !std::isfinite(largest)) {
    return T{1};
  }
  int exponent = 0;
  std::frexp(largest, &exponent);
  // 2^-exponent of a subnormal largest would overflow.
  return std::ldexp(T{1}, std::min(-exponent, std::numeric_limits<T>::max_exponent - 1));
}

/// QR decomposition by unblocked Householder reflections.
template <class Exec, class T>
void qr(Exec const& exec, linalg::QrCall<T> const& call) {
  Index const k = std::min(call.m, call.n);
  // All n columns as rows; those behind the k-th are only reflected.
  WorkMatrix<T, Exec> const rows("dashi::qr", static_cast<std::size_t>(call.n),
                                 static_cast<std::size_t>(call.m));
  WorkVector<T, Exec> const tau("dashi::qr", static_cast<std::size_t>(k));
  T const scale = scale_of(exec, call.a, call.m, call.n, call.lda);
  transpose_into(exec, call.a, call.lda, call.m, call.n, rows.data(), call.m, scale);
  Reflections<T> const h{k, call.m, rows.data(), tau.data()};
  for (Index j = 0; j < k; ++j) {
    for_each_row("dashi::portable::qr", exec, 1, call.m, MakeReflection<T>{h, j});
    if (j + 1 < call.n) {
      for_each_row("dashi::portable::qr", exec, call.n - j - 1, call.m, ReflectRowsBehind<T>{h, j});
    }
  }
  WorkMatrix<T, Exec> const basis("dashi::qr", static_cast<std::size_t>(k),
                                  static_cast<std::size_t>(call.m));
  T* const q_rows = basis.data();
  T const* const r_columns = rows.data();
  Index const m = call.m;
  T* const r = call.r;
  Index const ldr = call.ldr;
  Kokkos::parallel_for(
      "dashi::portable::qr", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, call.n),
      KOKKOS_LAMBDA(Index j) {
        for (Index i = 0; i < k; ++i) {
          r[i * ldr + j] = i <= j ? r_columns[j * m + i] / scale : T{};
        }
        if (j < k) {
          q_rows[j * m + j] = T{1};
        }
      });
  for_each_row("dashi::portable::qr", exec, k, k * m, ReflectBackward<T>{h, q_rows});
  transpose_into(exec, static_cast<T const*>(q_rows), m, k, m, call.q, call.ldq, T{1});
  exec.fence("dashi::portable::qr");
}

}  // namespace dashi::backends::portable
