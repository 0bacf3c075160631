// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/config.hpp>

#if defined(DASHI_HOST_OPENBLAS)

#include <dashi/core/tensor.hpp>
#include <dashi/linalg/factor_call.hpp>

#include "lapack.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

namespace dashi::backends::host {

/// Decompositions by LAPACK, with the memory that they need. LAPACK is column-major and reads a
/// row-major matrix as its transpose: A' = V diag(s) U' gives U and V in the right place by
/// themselves.
template <class T>
class LapackFactor {
public:
  /// Whether sizes and work memory fit LAPACK's integers.
  static bool takes(Index m, Index n, Index ld) {
    constexpr Index most = std::numeric_limits<blasint>::max();
    Index const k = std::min(m, n);
    return std::max({m, n, ld}) < most / 64 && k < 20000;
  }

  /// With vectors or, where U is null, without.
  void svd(linalg::SvdCall<T> const& call) {
    load(call.m, call.n, call.a, call.lda);
    Index const k = std::min(call.m, call.n);
    // A triangle costs less to reduce than a matrix half as high again (Chan 1982).
    bool const tall = 2 * call.m >= 3 * call.n;
    bool const wide = 2 * call.n >= 3 * call.m;
    if (!tall && !wide) {
      gesdd(call.n, call.m, matrix_.data(), call, call.vt, call.ldvt, call.u, call.ldu);
      return;
    }
    blasint const rows = size(call.n);
    blasint const cols = size(call.m);
    tau_.resize(static_cast<std::size_t>(k));
    triangle_.assign(static_cast<std::size_t>(k * k), T{});
    if (tall) {
      run("gelqf", [&](T* work, blasint const* lwork, blasint* info) {
        Lapack<T>::gelqf(&rows, &cols, matrix_.data(), &rows, tau_.data(), work, lwork, info);
      });
    } else {
      run("geqrf", [&](T* work, blasint const* lwork, blasint* info) {
        Lapack<T>::geqrf(&rows, &cols, matrix_.data(), &rows, tau_.data(), work, lwork, info);
      });
    }
    for (Index col = 0; col < k; ++col) {
      Index const from = tall ? col : 0;
      Index const to = tall ? k : col + 1;
      std::copy(matrix_.data() + col * call.n + from, matrix_.data() + col * call.n + to,
                triangle_.data() + col * k + from);
    }
    gesdd(k, k, triangle_.data(), call, call.vt, call.ldvt, call.u, call.ldu);
    if (call.u == nullptr) {
      return;
    }
    // The longer factor so far is k x k; the reflections make it long.
    T* const factor = tall ? call.u : call.vt;
    Index const ld = tall ? call.ldu : call.ldvt;
    blasint const factor_ld = size(ld);
    blasint const short_side = size(k);
    if (tall) {
      for (Index col = k; col < call.m; ++col) {
        std::fill_n(factor + col * ld, k, T{});
      }
      run("ormlq", [&](T* work, blasint const* lwork, blasint* info) {
        Lapack<T>::ormlq("R", "N", &short_side, &cols, &short_side, matrix_.data(), &rows,
                         tau_.data(), factor, &factor_ld, work, lwork, info);
      });
    } else {
      for (Index col = 0; col < k; ++col) {
        std::fill_n(factor + col * ld + k, call.n - k, T{});
      }
      run("ormqr", [&](T* work, blasint const* lwork, blasint* info) {
        Lapack<T>::ormqr("L", "N", &rows, &short_side, &short_side, matrix_.data(), &rows,
                         tau_.data(), factor, &factor_ld, work, lwork, info);
      });
    }
  }

  void qr(linalg::QrCall<T> const& call) {
    Index const k = std::min(call.m, call.n);
    blasint const m = size(call.m);
    blasint const n = size(call.n);
    blasint const rank = size(k);
    tau_.resize(static_cast<std::size_t>(k));
    matrix_.resize(static_cast<std::size_t>(call.m * call.n));
    transpose(call.a, call.lda, call.m, call.n, matrix_.data(), call.m);
    run("geqrf", [&](T* work, blasint const* lwork, blasint* info) {
      Lapack<T>::geqrf(&m, &n, matrix_.data(), &m, tau_.data(), work, lwork, info);
    });
    for (Index i = 0; i < k; ++i) {
      std::fill_n(call.r + i * call.ldr, i, T{});
      for (Index j = i; j < call.n; ++j) {
        call.r[i * call.ldr + j] = matrix_[static_cast<std::size_t>(j * call.m + i)];
      }
    }
    run("orgqr", [&](T* work, blasint const* lwork, blasint* info) {
      Lapack<T>::orgqr(&m, &rank, &rank, matrix_.data(), &m, tau_.data(), work, lwork, info);
    });
    transpose(matrix_.data(), call.m, k, call.m, call.q, call.ldq);
  }

private:
  static blasint size(Index i) { return static_cast<blasint>(i); }

  /// out(j, i) = a(i, j), in squares that stay in the first-level cache.
  static void transpose(T const* a, Index lda, Index rows, Index cols, T* out, Index ld) {
    constexpr Index side = 16;
    for (Index i0 = 0; i0 < rows; i0 += side) {
      for (Index j0 = 0; j0 < cols; j0 += side) {
        for (Index j = j0; j < std::min(j0 + side, cols); ++j) {
          for (Index i = i0; i < std::min(i0 + side, rows); ++i) {
            out[j * ld + i] = a[i * lda + j];
          }
        }
      }
    }
  }

  void load(Index m, Index n, T const* a, Index lda) {
    matrix_.resize(static_cast<std::size_t>(m * n));
    for (Index i = 0; i < m; ++i) {
      std::copy_n(a + i * lda, n, matrix_.data() + i * n);
    }
  }

  /// Asks a routine for its work memory, then calls it.
  template <class Routine>
  void run(char const* name, Routine const& routine) {
    blasint const ask = -1;
    blasint info = 0;
    T wanted{};
    routine(&wanted, &ask, &info);
    check_lapack(info, name);
    // As a float the size may have been rounded down.
    auto const count = static_cast<blasint>(static_cast<double>(wanted) * (1 + 1e-6)) + 1;
    work_.resize(std::max(work_.size(), static_cast<std::size_t>(count)));
    auto const lwork = static_cast<blasint>(
        std::min<std::size_t>(work_.size(), std::numeric_limits<blasint>::max()));
    routine(work_.data(), &lwork, &info);
    check_lapack(info, name);
  }

  /// a [rows, cols], column-major without gaps = left diag(s) right.
  void gesdd(Index rows, Index cols, T* a, linalg::SvdCall<T> const& call, T* left, Index ld_left,
             T* right, Index ld_right) {
    bool const vectors = left != nullptr;
    blasint const m = size(rows);
    blasint const n = size(cols);
    blasint const ldu = size(ld_left);
    blasint const ldvt = size(ld_right);
    integers_.resize(8 * static_cast<std::size_t>(std::min(rows, cols)));
    run("gesdd", [&](T* work, blasint const* lwork, blasint* info) {
      Lapack<T>::gesdd(vectors ? "S" : "N", &m, &n, a, &m, call.s, left, &ldu, right, &ldvt, work,
                       lwork, integers_.data(), info);
    });
  }

  std::vector<T> matrix_, triangle_, tau_, work_;
  std::vector<blasint> integers_;
};

}  // namespace dashi::backends::host

#endif
