// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/kernels/strided_rows.hpp>
#include <dashi/linalg/svd.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace dashi::kernels {

/// A weight and where its factors go: W = U diag(sigma) V', rank-major, the r largest components.
template <class T, class Exec>
struct SvdTarget {
  MatrixOf<T const, Exec> weight;  ///< [m, n]
  MatrixOf<T, Exec> ut;            ///< [r, m], r <= min(m, n)
  VectorOf<T, Exec> sigma;         ///< [r], descending
  MatrixOf<T, Exec> vt;            ///< [r, n]
};

namespace detail {

/// to[j, i] = from[i, j] for the rows of `to`.
template <class T>
struct CopyTransposed {
  Rows<T const> from;
  Rows<T> to;

  KOKKOS_INLINE_FUNCTION void operator()(Index at) const {
    Index const j = at % to.rows;  // neighbours read neighbours
    Index const i = at / to.rows;
    to.row(j)[i] = from.row(i)[j];
  }
};

template <class T>
struct CopyRows {
  Rows<T const> from;
  Rows<T> to;

  KOKKOS_INLINE_FUNCTION void operator()(Index at) const {
    Index const i = at / to.cols;
    to.row(i)[at - i * to.cols] = from.row(i)[at - i * to.cols];
  }
};

/// Memory for what svd_batch gives and a target cannot take as it is.
template <class T, class Exec>
struct SvdTemporary {
  using Space = typename Exec::memory_space;
  Kokkos::View<T**, Kokkos::LayoutRight, Space> u, vt;
  Kokkos::View<T*, Space> s;

  SvdTemporary(SvdTarget<T, Exec> const& target, Index thin) {
    auto const size = [](Index extent) { return static_cast<std::size_t>(extent); };
    auto const raw = [] {
      return Kokkos::view_alloc(Kokkos::WithoutInitializing, "dashi::gated_svd_factorise");
    };
    u = decltype(u)(raw(), target.weight.extent(0), size(thin));
    if (static_cast<Index>(target.sigma.extent(0)) < thin) {
      vt = decltype(vt)(raw(), size(thin), target.weight.extent(1));
      s = decltype(s)(raw(), size(thin));
    }
  }
};

}  // namespace detail

/// The singular value decompositions of many weights at once, as factors of gated layers.
///
/// float or double. As linalg::svd_batch shares the work. r below min(m, n) keeps the r largest
/// components: the best approximation of that rank. Allocates as much memory as the factors U have,
/// so not within a step. Fences. Throws ConvergenceError for NaN and infinities and where an
/// iteration does not converge.
template <class T, class Exec, class Provider>
void gated_svd_factorise(Context<Exec, Provider>& ctx,
                         std::span<SvdTarget<T, Exec> const> targets) {
  using Range = Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>;
  std::vector<detail::SvdTemporary<T, Exec>> memory;
  std::vector<linalg::SvdProblem<T, Exec>> problems;
  memory.reserve(targets.size());
  for (SvdTarget<T, Exec> const& target : targets) {
    auto const m = static_cast<Index>(target.weight.extent(0));
    auto const n = static_cast<Index>(target.weight.extent(1));
    auto const rank = static_cast<Index>(target.sigma.extent(0));
    DASHI_EXPECTS(rank <= std::min(m, n), "rank " + std::to_string(rank) + " of a weight of " +
                                              std::to_string(m) + " x " + std::to_string(n));
    detail::expect_extents<T>(RowsOf<T, Exec>(target.ut), "Ut", rank, m);
    detail::expect_extents<T>(RowsOf<T, Exec>(target.vt), "Vt", rank, n);
    memory.emplace_back(target, std::min(m, n));
    bool const cut = memory.back().s.extent(0) > 0;
    problems.push_back({target.weight, memory.back().u,
                        cut ? VectorOf<T, Exec>(memory.back().s) : target.sigma,
                        cut ? MatrixOf<T, Exec>(memory.back().vt) : target.vt});
  }
  linalg::svd_batch(ctx, std::span<linalg::SvdProblem<T, Exec> const>(problems));
  for (std::size_t k = 0; k < targets.size(); ++k) {
    RowsOf<T, Exec> const ut(targets[k].ut);
    RowsOf<T, Exec> const vt(targets[k].vt);
    char const* const label = "dashi::kernels::gated_svd_factorise";
    Kokkos::parallel_for(label, Range(ctx.exec(), 0, ut.rows * ut.cols),
                         detail::CopyTransposed<T>{RowsOf<T const, Exec>(problems[k].u), ut});
    if (memory[k].s.extent(0) > 0) {
      Rows<T const> const all{problems[k].s.data(), 1, ut.rows, ut.rows};
      Kokkos::parallel_for(label, Range(ctx.exec(), 0, vt.rows * vt.cols),
                           detail::CopyRows<T>{RowsOf<T const, Exec>(problems[k].vt), vt});
      Kokkos::parallel_for(
          label, Range(ctx.exec(), 0, ut.rows),
          detail::CopyRows<T>{all, {targets[k].sigma.data(), 1, ut.rows, ut.rows}});
    }
  }
  ctx.fence("dashi::kernels::gated_svd_factorise");
}

}  // namespace dashi::kernels
