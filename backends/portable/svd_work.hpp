// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/linalg/factor_call.hpp>

#include "jacobi.hpp"
#include "qr.hpp"

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace dashi::backends::portable {

/// Memory of decompositions of matrices of one shape, a batch; work matrices lie behind each other.
template <class Exec, class T>
struct SvdWork {
  Index matrices;
  Index size;    ///< the shorter side
  Index length;  ///< the longer side
  bool vectors;
  WorkMatrix<T, Exec> w;  ///< the longer way of A in rows, then reflections
  WorkMatrix<T, Exec> x;  ///< R, rotated
  WorkMatrix<T, Exec> j;  ///< the rotations
  WorkMatrix<T, Exec> reflected;
  WorkVector<T, Exec> tau, squares, norms;
  WorkVector<Index, Exec> order;  ///< of rows of x by length
  WorkVector<int, Exec> rotated, done;

  SvdWork(Index count, linalg::SvdCall<T> const& like)
      : matrices(count),
        size(std::min(like.m, like.n)),
        length(std::max(like.m, like.n)),
        vectors(like.u != nullptr),
        w(label, rows(), columns(length)),
        x(label, rows(), columns(size)),
        j(label, vectors ? rows() : 0, columns(size)),
        reflected(label, vectors ? rows() : 0, columns(length)),
        tau(label, rows()),
        squares(label, rows()),
        norms(label, rows()),
        order(label, rows()),
        rotated(label, columns(count * ((size + 1) / 2))),
        done(label, columns(count)) {}

  /// Of a matrix of that shape.
  static std::size_t bytes(linalg::SvdCall<T> const& like) {
    auto const k = columns(std::min(like.m, like.n));
    std::size_t const numbers = 2 * k * (columns(std::max(like.m, like.n)) + k) + 4 * k;
    return numbers * sizeof(T) + k * (sizeof(Index) + sizeof(int));
  }

  Reflections<T> reflections() const { return {size, length, w.data(), tau.data()}; }

  /// Rows of a squared length below `tiny` are rounding errors of the longest, whose square is at
  /// least 1/4 of the largest element's; their directions mean nothing, but they stay orthogonal as
  /// they are.
  static constexpr T tiny = std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon();
  JacobiRows<T> jacobi() const {
    T const tolerance = std::numeric_limits<T>::epsilon() * std::sqrt(static_cast<T>(size));
    return {size,      x.data(), vectors ? j.data() : nullptr, squares.data(), rotated.data(),
            tolerance, tiny};
  }

  /// Fills w from matrix k, times `scale`.
  void load(Exec const& exec, Index k, linalg::SvdCall<T> const& call, T scale) const {
    T* const to = w.data() + k * size * length;
    if (call.m >= call.n) {
      transpose_into(exec, call.a, call.lda, call.m, call.n, to, length, scale);
      return;
    }
    T const* const a = call.a;
    Index const lda = call.lda;
    Index const columns = length;
    Kokkos::parallel_for(
        "dashi::portable::svd", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, size),
        KOKKOS_LAMBDA(Index i) {
          for (Index e = 0; e < columns; ++e) {
            to[i * columns + e] = scale * a[i * lda + e];
          }
        });
  }

  /// R of the decompositions in w, into x; identities into j. Both are zero before.
  void take_triangles(Exec const& exec) const {
    Index const n = size;
    Index const columns = length;
    T const* const from = w.data();
    T* const r = x.data();
    T* const rotations = vectors ? j.data() : nullptr;
    Kokkos::parallel_for(
        "dashi::portable::svd",
        Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, matrices * n),
        KOKKOS_LAMBDA(Index row) {
          Index const i = row % n;
          Index const first = row - i;
          for (Index e = i; e < n; ++e) {
            r[row * n + e] = from[(first + e) * columns + i];
          }
          if (rotations != nullptr) {
            rotations[row * n + i] = T{1};
          }
        });
  }

  /// Rows of j in order, times the reflections, into `reflected`.
  void reflect_vectors(Exec const& exec) const {
    Index const n = size;
    Index const columns = length;
    T* const to = reflected.data();
    T const* const from = j.data();
    Index const* const permutation = order.data();
    Kokkos::parallel_for(
        "dashi::portable::svd",
        Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, matrices * n),
        KOKKOS_LAMBDA(Index row) {
          Index const source = row - row % n + permutation[row];
          for (Index e = 0; e < n; ++e) {
            to[row * columns + e] = from[source * n + e];
          }
        });
    for_each_row_of_each("dashi::portable::svd", exec, matrices, n, n * columns,
                         ReflectBackward<T>{reflections(), to});
  }

  /// Singular vectors of matrix k: row order[i] of x, divided by its norm, and row i of
  /// `reflected`.
  void write_vectors(Exec const& exec, Index k, linalg::SvdCall<T> const& call) const {
    bool const tall = call.m >= call.n;
    Index const n = size;
    Index const columns = length;
    T const* const rotated_rows = x.data() + k * n * n;
    T const* const reflected_rows = reflected.data() + k * n * columns;
    Index const* const permutation = order.data() + k * n;
    T const* const norm_of = norms.data() + k * n;
    Kokkos::parallel_for(
        "dashi::portable::svd", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, n),
        KOKKOS_LAMBDA(Index i) {
          T const* const from = rotated_rows + permutation[i] * n;
          T const norm = norm_of[i];
          T const factor = norm > T{} ? T{1} / norm : T{1};
          for (Index e = 0; e < n; ++e) {
            T const value = from[e] * factor;
            (tall ? call.vt[i * call.ldvt + e] : call.u[e * call.ldu + i]) = value;
          }
          for (Index e = 0; e < columns; ++e) {
            T const value = reflected_rows[i * columns + e];
            (tall ? call.u[e * call.ldu + i] : call.vt[i * call.ldvt + e]) = value;
          }
        });
  }

private:
  static constexpr char const* label = "dashi::svd";
  static std::size_t columns(Index n) { return static_cast<std::size_t>(n); }
  std::size_t rows() const { return static_cast<std::size_t>(matrices * size); }
};

}  // namespace dashi::backends::portable
