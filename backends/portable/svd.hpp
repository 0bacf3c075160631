// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/linalg/factor_call.hpp>

#include "jacobi.hpp"
#include "qr.hpp"

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

namespace dashi::backends::portable {

/// Sweeps after which an iteration counts as failed; ten are usual.
inline constexpr int most_sweeps = 40;

/// Rotates the rows of X until all are orthogonal.
template <class Exec, class T>
void jacobi_sweeps(Exec const& exec, JacobiRows<T> const& rows,
                   WorkVector<int, Exec> const& rotated) {
  Index const pairs = (rows.size + 1) / 2;
  Index const steps = rows.size + rows.size % 2 - 1;
  auto const host = Kokkos::create_mirror_view(rotated);
  for (int sweep = 0; sweep < most_sweeps; ++sweep) {
    for_each_row("dashi::portable::svd", exec, rows.size, rows.size, JacobiNorms<T>{rows});
    Kokkos::deep_copy(exec, rotated, 0);
    for (Index step = 0; step < steps; ++step) {
      for_each_row("dashi::portable::svd", exec, pairs, 4 * rows.size, JacobiStep<T>{rows, step});
    }
    Kokkos::deep_copy(exec, host, rotated);
    exec.fence("dashi::portable::svd");
    if (std::accumulate(host.data(), host.data() + pairs, Index{0}) == 0) {
      return;
    }
  }
  throw ConvergenceError(
      {.code = "no-convergence",
       .file = {},
       .place = "dashi::linalg::svd",
       .found = "Jacobi rotations did not end in " + std::to_string(most_sweeps) + " sweeps",
       .expected = {},
       .advice = {}});
}

/// Writes the factors from the work matrices: row order[i] of X, divided by its norm, and row i of
/// `reflected` are singular vectors i.
template <class T>
struct SvdFactors {
  Index size;
  Index length;
  T const* x;
  Index const* order;
  T const* norms;
  T const* reflected;

  template <class Exec>
  void write(Exec const& exec, T* u, Index ldu, T* vt, Index ldvt, bool tall) const {
    auto const self = *this;
    Kokkos::parallel_for(
        "dashi::portable::svd", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, size),
        KOKKOS_LAMBDA(Index i) {
          T const* const from = self.x + self.order[i] * self.size;
          T const norm = self.norms[i];
          T const factor = norm > T{} ? T{1} / norm : T{1};
          for (Index j = 0; j < self.size; ++j) {
            T const value = from[j] * factor;
            (tall ? vt[i * ldvt + j] : u[j * ldu + i]) = value;
          }
          for (Index j = 0; j < self.length; ++j) {
            T const value = self.reflected[i * self.length + j];
            (tall ? u[j * ldu + i] : vt[i * ldvt + j]) = value;
          }
        });
  }
};

/// Completes rows [valid, size) of X, which are zero, to an orthonormal basis.
template <class Exec, class T>
void complete_basis(Exec const& exec, Index size, T* x, std::vector<Index> const& order,
                    Index valid) {
  auto const n = static_cast<std::size_t>(size);
  WorkMatrix<T, Exec> const rows("dashi::svd", n, n);
  WorkMatrix<T, Exec> const basis("dashi::svd", n, n);
  WorkVector<T, Exec> const tau("dashi::svd", n);
  auto const row = [&](T* matrix, Index i) {
    return Kokkos::View<T*, typename Exec::memory_space, Kokkos::MemoryUnmanaged>(matrix + i * size,
                                                                                  n);
  };
  for (Index i = 0; i < valid; ++i) {
    Kokkos::deep_copy(exec, row(rows.data(), i), row(x, order[static_cast<std::size_t>(i)]));
  }
  Reflections<T> const h{size, size, rows.data(), tau.data()};
  factor_rows(exec, h);
  T* const q = basis.data();
  Kokkos::parallel_for(
      "dashi::portable::svd", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, size),
      KOKKOS_LAMBDA(Index i) { q[i * size + i] = T{1}; });
  for_each_row("dashi::portable::svd", exec, size, size * size, ReflectBackward<T>{h, q});
  for (Index i = valid; i < size; ++i) {
    Kokkos::deep_copy(exec, row(x, order[static_cast<std::size_t>(i)]), row(q, i));
  }
}

/// Singular value decomposition by QR and one-sided Jacobi: the longer way of A becomes rows,
/// W' = Q R; rotations J make the rows of R orthogonal, R = J' diag(s) Y; so W' = (Q J') diag(s) Y.
template <class Exec, class T>
void svd(Exec const& exec, linalg::SvdCall<T> const& call) {
  bool const tall = call.m >= call.n;
  Index const size = std::min(call.m, call.n);
  Index const length = std::max(call.m, call.n);
  auto const n = static_cast<std::size_t>(size);
  bool const vectors = call.u != nullptr;
  WorkMatrix<T, Exec> const w("dashi::svd", n, static_cast<std::size_t>(length));
  WorkMatrix<T, Exec> const x("dashi::svd", n, n);
  WorkMatrix<T, Exec> const j("dashi::svd", vectors ? n : 0, vectors ? n : 0);
  WorkVector<T, Exec> const tau("dashi::svd", n);
  WorkVector<T, Exec> const squares("dashi::svd", n);
  WorkVector<int, Exec> const rotated("dashi::svd", (n + 1) / 2);

  T const scale = scale_of(exec, call.a, call.m, call.n, call.lda);
  if (tall) {
    transpose_into(exec, call.a, call.lda, call.m, call.n, w.data(), length, scale);
  } else {
    T* const to = w.data();
    T const* const a = call.a;
    Index const lda = call.lda;
    Kokkos::parallel_for(
        "dashi::portable::svd", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, size),
        KOKKOS_LAMBDA(Index i) {
          for (Index e = 0; e < length; ++e) {
            to[i * length + e] = scale * a[i * lda + e];
          }
        });
  }
  Reflections<T> const h{size, length, w.data(), tau.data()};
  factor_rows(exec, h);
  {
    T const* const columns = w.data();
    T* const r = x.data();
    T* const rotations = vectors ? j.data() : nullptr;
    Kokkos::parallel_for(
        "dashi::portable::svd", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, size),
        KOKKOS_LAMBDA(Index i) {
          for (Index e = i; e < size; ++e) {
            r[i * size + e] = columns[e * length + i];
          }
          if (rotations != nullptr) {
            rotations[i * size + i] = T{1};
          }
        });
  }

  // Rows this short are rounding errors of the longest, whose squared norm is at least 1/4 of the
  // largest element's; their directions mean nothing, but they stay orthogonal as they are.
  T const roundoff = std::numeric_limits<T>::epsilon();
  T const tiny = std::numeric_limits<T>::min() / roundoff;
  JacobiRows<T> const rows{size,
                           x.data(),
                           vectors ? j.data() : nullptr,
                           squares.data(),
                           rotated.data(),
                           roundoff * std::sqrt(static_cast<T>(size)),
                           tiny};
  jacobi_sweeps(exec, rows, rotated);
  for_each_row("dashi::portable::svd", exec, size, size, JacobiNorms<T>{rows});

  auto const host_squares = Kokkos::create_mirror_view(squares);
  Kokkos::deep_copy(exec, host_squares, squares);
  exec.fence("dashi::portable::svd");
  std::vector<Index> order(n);
  std::iota(order.begin(), order.end(), Index{0});
  std::sort(order.begin(), order.end(), [&](Index p, Index q) {
    T const first = host_squares(static_cast<std::size_t>(p));
    T const second = host_squares(static_cast<std::size_t>(q));
    return first != second ? first > second : p < q;
  });
  WorkVector<Index, Exec> const device_order("dashi::svd", n);
  WorkVector<T, Exec> const norms("dashi::svd", n);
  WorkVector<T, Exec> const values("dashi::svd", n);
  auto const host_order = Kokkos::create_mirror_view(device_order);
  auto const host_norms = Kokkos::create_mirror_view(norms);
  auto const host_values = Kokkos::create_mirror_view(values);
  Index valid = 0;
  for (std::size_t i = 0; i < n; ++i) {
    T const square = host_squares(static_cast<std::size_t>(order[i]));
    host_order(i) = order[i];
    host_norms(i) = square > tiny ? std::sqrt(square) : T{};
    host_values(i) = host_norms(i) / scale;
    valid += square > tiny ? 1 : 0;
  }
  Kokkos::deep_copy(exec, device_order, host_order);
  Kokkos::deep_copy(exec, norms, host_norms);
  Kokkos::deep_copy(exec, values, host_values);
  Kokkos::deep_copy(
      exec, Kokkos::View<T*, typename Exec::memory_space, Kokkos::MemoryUnmanaged>(call.s, n),
      values);
  if (vectors) {
    if (valid < size) {
      complete_basis(exec, size, x.data(), order, valid);
    }
    WorkMatrix<T, Exec> const reflected("dashi::svd", n, static_cast<std::size_t>(length));
    T* const to = reflected.data();
    T const* const from = j.data();
    Index const* const permutation = device_order.data();
    Kokkos::parallel_for(
        "dashi::portable::svd", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, size),
        KOKKOS_LAMBDA(Index i) {
          for (Index e = 0; e < size; ++e) {
            to[i * length + e] = from[permutation[i] * size + e];
          }
        });
    for_each_row("dashi::portable::svd", exec, size, size * length, ReflectBackward<T>{h, to});
    SvdFactors<T>{size, length, x.data(), permutation, norms.data(), to}.write(
        exec, call.u, call.ldu, call.vt, call.ldvt, tall);
  }
  exec.fence("dashi::portable::svd");
}

}  // namespace dashi::backends::portable
