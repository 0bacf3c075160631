// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/philox.hpp>
#include <dashi/linalg/gemm.hpp>
#include <dashi/linalg/qr.hpp>
#include <dashi/linalg/svd.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace dashi::linalg {

/// How randomised_svd looks for the leading singular vectors.
struct RandomisedSvd {
  Index oversampling = 10;  ///< random directions beyond the rank
  Index power_steps = 2;    ///< passes with A A', each with a QR decomposition in between
  std::uint64_t seed = 0;
};

namespace detail {

/// Normal numbers by index: the same for any space and number of threads.
template <class Exec, class T>
void fill_normal(Exec const& exec, MatrixOf<T, Exec> const& out, std::uint64_t seed,
                 std::uint32_t sample) {
  Philox const random(seed, {.purpose = 0x5fd, .step = 0, .sample = sample});
  T* const data = out.data();
  Index const cols = static_cast<Index>(out.extent(1));
  Kokkos::parallel_for(
      "dashi::linalg::randomised_svd",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0,
                                                          static_cast<Index>(out.extent(0))),
      KOKKOS_LAMBDA(Index i) {
        for (Index j = 0; j < cols; ++j) {
          data[i * cols + j] = random.template normal<T>(static_cast<std::uint64_t>(i * cols + j));
        }
      });
}

/// The largest Euclidean norm of a column.
template <class Exec, class T>
double largest_column_norm(Exec const& exec, MatrixOf<T, Exec> const& a) {
  Index const rows = static_cast<Index>(a.extent(0));
  Index const cols = static_cast<Index>(a.extent(1));
  T const* const data = a.data();
  double largest = 0;
  Kokkos::parallel_reduce(
      "dashi::linalg::randomised_svd",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, cols),
      KOKKOS_LAMBDA(Index j, double& most) {
        double sum = 0;
        for (Index i = 0; i < rows; ++i) {
          double const x = static_cast<double>(data[i * cols + j]);
          sum += x * x;
        }
        most = sum > most ? sum : most;
      },
      Kokkos::Max<double>(largest));
  return std::sqrt(largest);
}

}  // namespace detail

/// The `rank` largest singular values and their vectors, U diag(s) Vt ~ A, from the range of A on
/// random vectors. N. Halko, P.-G. Martinsson, J. A. Tropp, "Finding structure with randomness",
/// SIAM Review 53 (2011), algorithms 4.4 and 5.1.
///
/// A [m, n], U [m, rank], s [rank], Vt [rank, n]; 0 < rank <= min(m, n). Returns an upper estimate
/// of the spectral norm of A - U diag(s) Vt: 10 sqrt(2/pi) max_i |(I - Q Q') A w_i| over ten random
/// vectors w_i (their equation 4.3; too small with a probability of at most 1e-10) plus the first
/// singular value left out (section 9.4). The estimate is up to about ten times too large.
///
/// Random numbers are Philox by index; the rest is gemm, qr and svd, so the same provider and
/// threads give the same bits. Fences; allocates. About 4 m n l (power_steps + 1) floating-point
/// operations, l = rank + oversampling. Throws as svd does.
template <class Exec, class Provider, class A, class U, class S, class Vt>
double randomised_svd(Context<Exec, Provider>& ctx, A const& a_view, Index rank,
                      RandomisedSvd options, U const& u, S const& s, Vt const& vt) {
  using T = typename A::non_const_value_type;
  static_assert(require_operand<A, Exec>());
  static_assert(require_operand<U, Exec>());
  static_assert(require_operand<Vt, Exec>());
  static_assert(detail::require_svd<Exec, Provider, T>());
  auto const a = operand_of(a_view, "A");
  Index const k = std::min(a.rows, a.cols);
  DASHI_EXPECTS(rank > 0 && rank <= k, "rank " + std::to_string(rank) + " is not in [1, " +
                                           std::to_string(k) + "], A is " +
                                           detail::shape_text(a.rows, a.cols));
  DASHI_EXPECTS(options.oversampling >= 0 && options.power_steps >= 0,
                "oversampling and power_steps must not be negative");
  auto const extents = [](auto const& view, std::size_t at) {
    return static_cast<Index>(view.extent(at));
  };
  DASHI_EXPECTS(extents(u, 0) == a.rows && extents(u, 1) == rank,
                "U is " + detail::shape_text(extents(u, 0), extents(u, 1)) + ", expected " +
                    detail::shape_text(a.rows, rank));
  DASHI_EXPECTS(extents(vt, 0) == rank && extents(vt, 1) == a.cols,
                "Vt is " + detail::shape_text(extents(vt, 0), extents(vt, 1)) + ", expected " +
                    detail::shape_text(rank, a.cols));
  DASHI_EXPECTS(extents(s, 0) == rank, "s has " + std::to_string(extents(s, 0)) +
                                           " elements, rank is " + std::to_string(rank));
  Kokkos::Profiling::ScopedRegion const profiled("dashi::linalg::randomised_svd");
  detail::expect_finite(ctx, a_view, "dashi::linalg::randomised_svd");

  constexpr Index probes = 10;
  Index const l = std::min(rank + options.oversampling, k);
  Arena measured;
  struct Work {
    MatrixOf<T, Exec> random, range, q, r, co_range, co_q, small, small_u, small_vt, probe, image;
    VectorOf<T, Exec> small_s;
  };
  auto const work_in = [&](Arena& arena) {
    auto const matrix = [&](Index rows, Index cols) { return arena.matrix<T, Exec>(rows, cols); };
    return Work{.random = matrix(a.cols, l),
                .range = matrix(a.rows, l),
                .q = matrix(a.rows, l),
                .r = matrix(l, l),
                .co_range = matrix(a.cols, l),
                .co_q = matrix(a.cols, l),
                .small = matrix(l, a.cols),
                .small_u = matrix(l, l),
                .small_vt = matrix(l, a.cols),
                .probe = matrix(a.cols, probes),
                .image = matrix(a.rows, probes),
                .small_s = arena.vector<T, Exec>(l)};
  };
  work_in(measured);
  Kokkos::View<std::byte*, typename Exec::memory_space> const memory(
      Kokkos::view_alloc(Kokkos::WithoutInitializing, "dashi::randomised_svd"),
      measured.peak() + Arena::alignment);
  auto const past = reinterpret_cast<std::uintptr_t>(memory.data()) % Arena::alignment;
  Arena arena(memory.data() + (Arena::alignment - past) % Arena::alignment, measured.peak());
  Work const w = work_in(arena);

  detail::fill_normal<Exec, T>(ctx.exec(), w.random, options.seed, 0);
  gemm(ctx, Op::none, a_view, Op::none, w.random, w.range);
  qr(ctx, w.range, w.q, w.r);
  for (Index step = 0; step < options.power_steps; ++step) {
    gemm(ctx, Op::transpose, a_view, Op::none, w.q, w.co_range);
    qr(ctx, w.co_range, w.co_q, w.r);
    gemm(ctx, Op::none, a_view, Op::none, w.co_q, w.range);
    qr(ctx, w.range, w.q, w.r);
  }
  gemm(ctx, Op::transpose, w.q, Op::none, a_view, w.small);
  svd(ctx, w.small, w.small_u, w.small_s, w.small_vt);

  auto const first = Kokkos::make_pair(Index{0}, rank);
  gemm(ctx, Op::none, w.q, Op::none, Kokkos::subview(w.small_u, Kokkos::ALL, first), u);
  Kokkos::deep_copy(ctx.exec(), vt, Kokkos::subview(w.small_vt, first, Kokkos::ALL));
  Kokkos::deep_copy(ctx.exec(), s, Kokkos::subview(w.small_s, first));

  // (I - Q Q') A W, with vectors that Q has not seen.
  detail::fill_normal<Exec, T>(ctx.exec(), w.probe, options.seed, 1);
  gemm(ctx, Op::none, a_view, Op::none, w.probe, w.image);
  auto const coefficients =
      Kokkos::subview(w.r, Kokkos::ALL, Kokkos::make_pair(Index{0}, std::min(l, probes)));
  double largest = 0;
  for (Index at = 0; at < probes; at += l) {
    Index const count = std::min(l, probes - at);
    auto const some = Kokkos::make_pair(at, at + count);
    auto const image = Kokkos::subview(w.image, Kokkos::ALL, some);
    auto const c = Kokkos::subview(coefficients, Kokkos::ALL, Kokkos::make_pair(Index{0}, count));
    gemm(ctx, Op::transpose, w.q, Op::none, image, c);
    gemm(ctx, Op::none, w.q, Op::none, c, image, {-1, 1});
  }
  largest = detail::largest_column_norm<Exec, T>(ctx.exec(), w.image);
  double left_out = 0;
  if (l > rank) {
    T next{};
    Kokkos::deep_copy(ctx.exec(), next, Kokkos::subview(w.small_s, rank));
    left_out = static_cast<double>(next);
  }
  ctx.fence("dashi::linalg::randomised_svd");
  return 10 * std::sqrt(2 / 3.141592653589793) * largest + left_out;
}

}  // namespace dashi::linalg
