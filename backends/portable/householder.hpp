// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "each_matrix.hpp"

#include <Kokkos_Core.hpp>

#include <limits>

namespace dashi::backends::portable {

/// Reflections H_j = I - tau_j v_j v_j' with v_j[j] = 1: row j of `rows` holds v_j behind j, and
/// before and at j column j of R, of the QR decomposition of rows'. Golub, Van Loan, Matrix
/// Computations, section 5.2.
template <class T>
struct Reflections {
  Index count;   ///< of reflections, and of rows
  Index length;  ///< of a row
  T* rows;
  T* tau;

  /// Those of matrix k of a batch, whose rows lie behind each other.
  KOKKOS_INLINE_FUNCTION Reflections of(Index k) const {
    return {count, length, rows + k * count * length, tau + k * count};
  }
};

/// Makes reflection j from row j: the part from j on becomes a multiple of a unit vector. The
/// largest element of the whole matrix is about 1; a part whose squares leave the range of normal
/// numbers is far below the rounding errors and counts as zero behind j.
template <class T>
struct MakeReflection {
  Reflections<T> h;
  Index j;

  KOKKOS_INLINE_FUNCTION MakeReflection of(Index k) const { return {h.of(k), j}; }

  template <class Team>
  KOKKOS_INLINE_FUNCTION void operator()(Team const& team, Index) const {
    T* const x = h.rows + j * h.length;
    T const head = x[j];
    T const tail = team.dot(j + 1, h.length, x, x);
    team.barrier();
    constexpr T negligible = std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon();
    if (tail <= negligible) {
      team.each(j + 1, h.length, [=](Index i) { x[i] = T{}; });
      h.tau[j] = T{};
      return;
    }
    T const norm = Kokkos::sqrt(head * head + tail);
    T const beta = head > T{} ? -norm : norm;
    T const divisor = T{1} / (head - beta);
    team.each(j + 1, h.length, [=](Index i) { x[i] *= divisor; });
    h.tau[j] = (beta - head) / beta;
    team.barrier();
    x[j] = beta;
  }
};

/// y = H_j y, from element j on.
template <class Team, class T>
KOKKOS_INLINE_FUNCTION void reflect(Team const& team, Reflections<T> const& h, Index j, T* y) {
  T const* const v = h.rows + j * h.length;
  T const sum = team.dot(j + 1, h.length, v, y) + y[j];
  T const factor = h.tau[j] * sum;
  team.barrier();
  team.each(j + 1, h.length, [=](Index i) { y[i] -= factor * v[i]; });
  team.each(j, j + 1, [=](Index i) { y[i] -= factor; });
  team.barrier();
}

/// Applies reflection j to the rows behind it.
template <class T>
struct ReflectRowsBehind {
  Reflections<T> h;
  Index j;

  KOKKOS_INLINE_FUNCTION ReflectRowsBehind of(Index k) const { return {h.of(k), j}; }

  template <class Team>
  KOKKOS_INLINE_FUNCTION void operator()(Team const& team, Index i) const {
    reflect(team, h, j, h.rows + (j + 1 + i) * h.length);
  }
};

/// y_i = H_0 H_1 ... y_i for rows y_i.
template <class T>
struct ReflectBackward {
  Reflections<T> h;
  T* y;

  KOKKOS_INLINE_FUNCTION ReflectBackward of(Index k) const {
    return {h.of(k), y + k * h.count * h.length};
  }

  template <class Team>
  KOKKOS_INLINE_FUNCTION void operator()(Team const& team, Index i) const {
    for (Index j = h.count - 1; j >= 0; --j) {
      reflect(team, h, j, y + i * h.length);
    }
  }
};

/// QR decomposition of rows' in place, of each matrix.
template <class Exec, class T>
void factor_rows(Exec const& exec, Reflections<T> const& h, Index matrices = 1) {
  for (Index j = 0; j < h.count; ++j) {
    for_each_row_of_each("dashi::portable::qr", exec, matrices, 1, h.length,
                         MakeReflection<T>{h, j});
    for_each_row_of_each("dashi::portable::qr", exec, matrices, h.count - j - 1, h.length,
                         ReflectRowsBehind<T>{h, j});
  }
}

}  // namespace dashi::backends::portable
