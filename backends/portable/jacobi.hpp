// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "row_team.hpp"

#include <Kokkos_Core.hpp>

namespace dashi::backends::portable {

/// One-sided Jacobi rotations of the rows of a square matrix X and of J, which collects them:
/// X_0 = J' X at any time. Golub, Van Loan, Matrix Computations, section 8.6.3.
template <class T>
struct JacobiRows {
  Index size;
  T* x;
  T* j;          ///< null when the rotations are not wanted
  T* squares;    ///< squared norms of the rows of X
  int* rotated;  ///< how many of the pairs of a sweep were not yet orthogonal, a slot a pair
  T tolerance;   ///< of the cosine between rows
  T negligible;  ///< squared norms below are rounding errors or zero

  KOKKOS_INLINE_FUNCTION Index pairs() const { return (size + 1) / 2; }
  /// Those of matrix k of a batch, which lie behind each other.
  KOKKOS_INLINE_FUNCTION JacobiRows of(Index k) const {
    return {size,
            x + k * size * size,
            j == nullptr ? nullptr : j + k * size * size,
            squares + k * size,
            rotated + k * pairs(),
            tolerance,
            negligible};
  }
};

template <class T>
struct JacobiNorms {
  JacobiRows<T> rows;

  KOKKOS_INLINE_FUNCTION JacobiNorms of(Index k) const { return {rows.of(k)}; }

  template <class Team>
  KOKKOS_INLINE_FUNCTION void operator()(Team const& team, Index i) const {
    T const* const x = rows.x + i * rows.size;
    T const sum = team.dot(0, rows.size, x, x);
    team.each(i, i + 1, [squares = rows.squares, sum](Index at) { squares[at] = sum; });
  }
};

/// Step `step` of a sweep: all rows in disjoint pairs, as rounds of a tournament in which one
/// player stays and the others go round. Each pair is made orthogonal and the longer row comes
/// first (de Rijk 1989), so that the norms end up nearly sorted.
template <class T>
struct JacobiStep {
  JacobiRows<T> rows;
  Index step;

  KOKKOS_INLINE_FUNCTION JacobiStep of(Index k) const { return {rows.of(k), step}; }

  template <class Team>
  KOKKOS_INLINE_FUNCTION void operator()(Team const& team, Index pair) const {
    Index const players = rows.size + rows.size % 2;
    Index const others = players - 1;
    Index const one = pair == 0 ? others : (step + pair) % others;
    Index const two = pair == 0 ? step : (step + others - pair) % others;
    Index const p = one < two ? one : two;
    Index const q = one < two ? two : one;
    if (q >= rows.size) {
      return;  // an odd number of rows: this one rests
    }
    Index const n = rows.size;
    T* const xp = rows.x + p * n;
    T* const xq = rows.x + q * n;
    T const a = rows.squares[p];
    T const b = rows.squares[q];
    T const product = team.dot(0, n, xp, xq);
    team.barrier();
    bool const orthogonal =
        a <= rows.negligible || b <= rows.negligible ||
        Kokkos::fabs(product) <= rows.tolerance * Kokkos::sqrt(a) * Kokkos::sqrt(b);
    if (orthogonal && a >= b) {
      return;
    }
    T c = 1;
    T s = 0;
    T t = 0;
    if (!orthogonal) {
      T const zeta = (b - a) / (2 * product);
      t = (zeta >= 0 ? T{1} : T{-1}) / (Kokkos::fabs(zeta) + Kokkos::sqrt(1 + zeta * zeta));
      c = 1 / Kokkos::sqrt(1 + t * t);
      s = c * t;
    }
    T const new_a = a - t * product;
    T const new_b = b + t * product;
    bool const swap = new_a < new_b;
    auto const rotate = [=](T* first, T* second) {
      team.each(0, n, [=](Index i) {
        T const u = c * first[i] - s * second[i];
        T const v = s * first[i] + c * second[i];
        first[i] = swap ? v : u;
        second[i] = swap ? u : v;
      });
    };
    rotate(xp, xq);
    if (rows.j != nullptr) {
      rotate(rows.j + p * n, rows.j + q * n);
    }
    team.each(0, 1, [=, this](Index) {
      rows.squares[p] = swap ? new_b : new_a;
      rows.squares[q] = swap ? new_a : new_b;
      rows.rotated[pair] += orthogonal ? 0 : 1;
    });
  }
};

}  // namespace dashi::backends::portable
