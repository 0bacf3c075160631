// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/linalg/factor_call.hpp>

#include "device_library.hpp"
#include "qr.hpp"

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <string>

namespace dashi::backends::portable {

/// Memory of one factorisation by a library, on its execution space.
template <class T, class Exec>
WorkVector<T, Exec> work_memory(Index count) {
  return WorkVector<T, Exec>(
      Kokkos::view_alloc(Kokkos::WithoutInitializing, "dashi::linalg::work_memory"),
      static_cast<std::size_t>(std::max<Index>(count, 1)));
}

/// Reads the number that a library leaves on the device about how it went, as LAPACK does: negative
/// for a wrong argument (VendorError), positive for no end (ConvergenceError). Fences.
template <class Exec>
void expect_success(Exec const& exec, WorkVector<int, Exec> const& device_info, char const* call) {
  auto const host = Kokkos::create_mirror_view(device_info);
  Kokkos::deep_copy(exec, host, device_info);
  exec.fence("dashi::linalg::expect_success");
  int const info = host(0);
  if (info < 0) {
    refused(call, "argument " + std::to_string(-info) + " is wrong");
  }
  if (info > 0) {
    throw ConvergenceError({.code = "no-convergence",
                            .file = {},
                            .place = call,
                            .found = "the iteration did not end, info " + std::to_string(info),
                            .expected = {},
                            .advice = {}});
  }
}

/// A row-major matrix as it is, rows side by side.
template <class Exec, class T>
void copy_rows(Exec const& exec, T const* from, Index rows, Index cols, Index ld, T* to) {
  Kokkos::parallel_for(
      "dashi::linalg::copy_rows",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, rows * cols),
      KOKKOS_LAMBDA(Index at) { to[at] = from[at / cols * ld + at % cols]; });
}

/// The upper triangle of the first k rows of a column-major matrix of m rows.
template <class Exec, class T>
void copy_upper(Exec const& exec, T const* columns, Index m, Index k, Index n, T* r, Index ldr) {
  Kokkos::parallel_for(
      "dashi::linalg::copy_upper",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, k * n), KOKKOS_LAMBDA(Index at) {
        Index const i = at / n;
        Index const j = at % n;
        r[i * ldr + j] = i <= j ? columns[j * m + i] : T{};
      });
}

/// Singular value decomposition by a library for column-major matrices that are not wider than
/// tall: library.gesvd(rows, cols, a, s, left, ld_left, right, ld_right) with A = left diag(s)
/// right, `right` transposed already; null without vectors; overwrites a. Fences.
template <class Exec, class T, class Library>
void svd_by_columns(Exec const& exec, linalg::SvdCall<T> const& call, Library const& library) {
  Index const tall = std::max(call.m, call.n);
  Index const k = std::min(call.m, call.n);
  auto const work = work_memory<T, Exec>(tall * k);
  if (call.m < call.n) {
    // The memory of a wide row-major A is a tall column-major A', and A' = V diag(s) U': V in
    // columns is Vt in rows, U' in columns is U in rows.
    copy_rows(exec, call.a, call.m, call.n, call.lda, work.data());
    library.gesvd(tall, k, work.data(), call.s, call.vt, call.ldvt, call.u, call.ldu);
  } else {
    transpose_into(exec, call.a, call.lda, call.m, call.n, work.data(), call.m, T{1});
    if (call.u == nullptr) {
      library.gesvd(tall, k, work.data(), call.s, static_cast<T*>(nullptr), tall,
                    static_cast<T*>(nullptr), k);
    } else {
      auto const left = work_memory<T, Exec>(tall * k);
      auto const right = work_memory<T, Exec>(k * k);
      library.gesvd(tall, k, work.data(), call.s, left.data(), tall, right.data(), k);
      transpose_into(exec, static_cast<T const*>(left.data()), tall, k, tall, call.u, call.ldu,
                     T{1});
      transpose_into(exec, static_cast<T const*>(right.data()), k, k, k, call.vt, call.ldvt, T{1});
    }
  }
  exec.fence("dashi::linalg::svd");
}

/// QR decomposition by a library for column-major matrices: library.geqrf(rows, cols, a, tau), then
/// library.orgqr(rows, cols, a, tau). Fences.
template <class Exec, class T, class Library>
void qr_by_columns(Exec const& exec, linalg::QrCall<T> const& call, Library const& library) {
  Index const k = std::min(call.m, call.n);
  auto const work = work_memory<T, Exec>(call.m * call.n);
  auto const tau = work_memory<T, Exec>(k);
  transpose_into(exec, call.a, call.lda, call.m, call.n, work.data(), call.m, T{1});
  library.geqrf(call.m, call.n, work.data(), tau.data());
  copy_upper(exec, static_cast<T const*>(work.data()), call.m, k, call.n, call.r, call.ldr);
  library.orgqr(call.m, k, work.data(), tau.data());
  transpose_into(exec, static_cast<T const*>(work.data()), call.m, k, call.m, call.q, call.ldq,
                 T{1});
  exec.fence("dashi::linalg::qr");
}

}  // namespace dashi::backends::portable
