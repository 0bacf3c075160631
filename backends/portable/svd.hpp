// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/linalg/decompose_numbered.hpp>
#include <dashi/linalg/factor_call.hpp>

#include "svd_work.hpp"

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <tuple>
#include <vector>

namespace dashi::backends::portable {

/// Sweeps after which an iteration counts as failed; ten are usual.
inline constexpr int most_sweeps = 40;

/// Rotates the rows of each x until all are orthogonal. Gives the first matrix for which that did
/// not end, or -1.
template <class Exec, class T>
Index jacobi_sweeps(Exec const& exec, SvdWork<Exec, T> const& work, int most) {
  JacobiRows<T> const rows = work.jacobi();
  Index const pairs = rows.pairs();
  Index const steps = rows.size + rows.size % 2 - 1;
  auto const rotated = Kokkos::create_mirror_view(work.rotated);
  auto const done = Kokkos::create_mirror_view(work.done);
  int const* const skip = work.done.data();
  Index first = 0;
  for (int sweep = 0; sweep < most && first < work.matrices; ++sweep) {
    for_each_row_of_each("dashi::portable::svd", exec, work.matrices, rows.size, rows.size,
                         JacobiNorms<T>{rows}, skip);
    Kokkos::deep_copy(exec, work.rotated, 0);
    for (Index step = 0; step < steps; ++step) {
      for_each_row_of_each("dashi::portable::svd", exec, work.matrices, pairs, 4 * rows.size,
                           JacobiStep<T>{rows, step}, skip);
    }
    Kokkos::deep_copy(exec, rotated, work.rotated);
    exec.fence("dashi::portable::svd");
    for (Index k = 0; k < work.matrices; ++k) {
      int const* const mine = rotated.data() + k * pairs;
      done(static_cast<std::size_t>(k)) =
          std::all_of(mine, mine + pairs, [](int n) { return n == 0; });
    }
    first = std::find(done.data(), done.data() + work.matrices, 0) - done.data();
    if (first < work.matrices) {
      Kokkos::deep_copy(exec, work.done, done);
    }
  }
  return first < work.matrices ? first : -1;
}

/// Completes rows [valid, size) of X, which are zero, to an orthonormal basis.
template <class Exec, class T>
void complete_basis(Exec const& exec, Index size, T* x, Index const* order, Index valid) {
  auto const n = static_cast<std::size_t>(size);
  WorkMatrix<T, Exec> const rows("dashi::svd", n, n);
  WorkMatrix<T, Exec> const basis("dashi::svd", n, n);
  WorkVector<T, Exec> const tau("dashi::svd", n);
  auto const row = [&](T* matrix, Index i) {
    return Kokkos::View<T*, typename Exec::memory_space, Kokkos::MemoryUnmanaged>(matrix + i * size,
                                                                                  n);
  };
  for (Index i = 0; i < valid; ++i) {
    Kokkos::deep_copy(exec, row(rows.data(), i), row(x, order[i]));
  }
  Reflections<T> const h{size, size, rows.data(), tau.data()};
  factor_rows(exec, h);
  T* const q = basis.data();
  Kokkos::parallel_for(
      "dashi::portable::svd", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, size),
      KOKKOS_LAMBDA(Index i) { q[i * size + i] = T{1}; });
  for_each_row("dashi::portable::svd", exec, size, size * size, ReflectBackward<T>{h, q});
  for (Index i = valid; i < size; ++i) {
    Kokkos::deep_copy(exec, row(x, order[i]), row(q, i));
  }
}

/// Singular values of all, in descending order, from the lengths of the rows of x; the orders and
/// lengths into work. Completes what has no direction. Fences.
template <class Exec, class T>
void take_values(Exec const& exec, SvdWork<Exec, T> const& work,
                 std::span<linalg::SvdCall<T> const> calls, std::vector<T> const& scales) {
  auto const n = static_cast<std::size_t>(work.size);
  auto const squares = Kokkos::create_mirror_view(work.squares);
  auto const order = Kokkos::create_mirror_view(work.order);
  auto const norms = Kokkos::create_mirror_view(work.norms);
  WorkVector<T, Exec> const device_values("dashi::svd", calls.size() * n);
  auto const values = Kokkos::create_mirror_view(device_values);
  Kokkos::deep_copy(exec, squares, work.squares);
  exec.fence("dashi::portable::svd");
  std::vector<Index> valid(calls.size());
  for (std::size_t k = 0; k < calls.size(); ++k) {
    T const* const square = squares.data() + k * n;
    Index* const mine = order.data() + k * n;
    std::iota(mine, mine + n, Index{0});
    std::sort(mine, mine + n, [&](Index p, Index q) {
      return square[p] != square[q] ? square[p] > square[q] : p < q;
    });
    for (std::size_t i = 0; i < n; ++i) {
      bool const counts = square[mine[i]] > SvdWork<Exec, T>::tiny;
      norms(k * n + i) = counts ? std::sqrt(square[mine[i]]) : T{};
      values(k * n + i) = norms(k * n + i) / scales[k];
      valid[k] += counts ? 1 : 0;
    }
  }
  Kokkos::deep_copy(exec, work.order, order);
  Kokkos::deep_copy(exec, work.norms, norms);
  Kokkos::deep_copy(exec, device_values, values);
  using Values = Kokkos::View<T*, typename Exec::memory_space, Kokkos::MemoryUnmanaged>;
  for (std::size_t k = 0; k < calls.size(); ++k) {
    Kokkos::deep_copy(exec, Values(calls[k].s, n), Values(device_values.data() + k * n, n));
    if (work.vectors && valid[k] < work.size) {
      complete_basis(exec, work.size, work.x.data() + k * n * n, order.data() + k * n, valid[k]);
    }
  }
  exec.fence("dashi::portable::svd");
}

/// Singular value decompositions of matrices of one shape, by QR and one-sided Jacobi: the longer
/// way of A becomes rows, W' = Q R; rotations J make the rows of R orthogonal, R = J' diag(s) Y; so
/// W' = (Q J') diag(s) Y. Every kernel works on all matrices; each gets the bits that it gets
/// alone. ConvergenceError names the first one that does not end. Fences.
template <class Exec, class T>
void svd_of_one_shape(Exec const& exec, std::span<linalg::SvdCall<T> const> calls,
                      int sweeps = most_sweeps) {
  SvdWork<Exec, T> const work(static_cast<Index>(calls.size()), calls[0]);
  std::vector<T> scales;
  for (linalg::SvdCall<T> const& call : calls) {
    scales.push_back(scale_of(exec, call.a, call.m, call.n, call.lda));
    work.load(exec, static_cast<Index>(scales.size()) - 1, call, scales.back());
  }
  factor_rows(exec, work.reflections(), work.matrices);
  work.take_triangles(exec);
  Index const endless = jacobi_sweeps(exec, work, sweeps);
  if (endless >= 0) {
    linalg::decompose_numbered(calls[static_cast<std::size_t>(endless)], [&] {
      throw ConvergenceError(
          {.code = "no-convergence",
           .file = {},
           .place = "dashi::linalg::svd",
           .found = "Jacobi rotations did not end in " + std::to_string(sweeps) + " sweeps",
           .expected = {},
           .advice = {}});
    });
  }
  for_each_row_of_each("dashi::portable::svd", exec, work.matrices, work.size, work.size,
                       JacobiNorms<T>{work.jacobi()});
  take_values(exec, work, calls, scales);
  if (work.vectors) {
    work.reflect_vectors(exec);
    for (std::size_t k = 0; k < calls.size(); ++k) {
      work.write_vectors(exec, static_cast<Index>(k), calls[k]);
    }
  }
  exec.fence("dashi::portable::svd");
}

/// From so many matrices of one shape on, a device is used better by kernels on all of them than by
/// its library on one after the other. A guess: not measured.
inline constexpr std::size_t worth_a_batch = 4;

/// Decompositions of any shapes: those of one shape together, in parts that take no more than
/// `bytes` of work memory or are one matrix, of about the same size where that is `fewest` or more;
/// by one(call) what is less than `fewest`. Fences.
template <class Exec, class T, class One>
void svd_by_shapes(Exec const& exec, std::span<linalg::SvdCall<T> const> calls, std::size_t fewest,
                   One const& one, std::size_t bytes = std::size_t{256} << 20) {
  auto const shape = [](linalg::SvdCall<T> const& call) {
    return std::tuple(std::min(call.m, call.n), std::max(call.m, call.n), call.u != nullptr);
  };
  std::vector<linalg::SvdCall<T>> sorted(calls.begin(), calls.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](auto const& a, auto const& b) { return shape(a) < shape(b); });
  std::span<linalg::SvdCall<T> const> left(sorted);
  while (!left.empty()) {
    std::size_t alike = 1;
    while (alike < left.size() && shape(left[alike]) == shape(left[0])) {
      ++alike;
    }
    auto const most = std::max<std::size_t>(1, bytes / SvdWork<Exec, T>::bytes(left[0]));
    std::size_t const parts = (alike + most - 1) / most;
    bool const even = alike / parts >= fewest;
    for (std::size_t part = 1, first = 0; first < alike; ++part) {
      std::size_t const end = even ? alike * part / parts : std::min(first + most, alike);
      auto const mine = left.subspan(first, end - first);
      first = end;
      if (mine.size() >= fewest) {
        svd_of_one_shape(exec, mine);
        continue;
      }
      for (linalg::SvdCall<T> const& call : mine) {
        linalg::decompose_numbered(call, [&] { one(call); });
      }
    }
    left = left.subspan(alike);
  }
}

template <class Exec, class T>
void svd(Exec const& exec, linalg::SvdCall<T> const& call) {
  svd_of_one_shape(exec, std::span<linalg::SvdCall<T> const>(&call, 1));
}

}  // namespace dashi::backends::portable
