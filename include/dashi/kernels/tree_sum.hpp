// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/kernels/run_tasks.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <Kokkos_Core.hpp>

namespace dashi::kernels {

namespace detail {

/// The pairwise tree over terms [first, first + count) of every element of a piece, in place: its
/// value ends in the first term.
template <class Acc>
KOKKOS_INLINE_FUNCTION void sum_in_place(Acc* terms, Index count, Index distance, Index from,
                                         Index to) {
  while (count > 1) {
    Index const kept = (count + 1) / 2;
    for (Index s = kept; s < count; ++s) {
      Acc const* const addend = terms + s * distance;
      Acc* const sum = terms + (s - kept) * distance;
      for (Index e = from; e < to; ++e) {
        sum[e] += addend[e];
      }
    }
    count = kept;
  }
}

template <class Acc>
struct SumGroups {
  Acc* terms;  ///< [count, size]
  Index count, size, group, distance, width;

  KOKKOS_INLINE_FUNCTION void operator()(Index task) const {
    Index const pieces = (size + width - 1) / width;
    Index const at = task / pieces;
    Index const from = (task - at * pieces) * width;
    Index const to = from + width < size ? from + width : size;
    Index const left = count - at * group;
    sum_in_place(terms + at * group * distance, left < group ? left : group, distance, from, to);
  }
};

template <class Acc>
struct FinishSum {
  Acc const* sums;  ///< null: all zero
  Acc alpha, beta;
  Rows<Acc> out;

  KOKKOS_INLINE_FUNCTION void operator()(Index at) const {
    Index const row = at / out.cols;
    Acc& element = out.row(row)[at - row * out.cols];
    Acc const value = sums == nullptr ? Acc(0) : alpha * sums[at];
    element = beta == Acc(0) ? value : value + beta * element;
  }
};

}  // namespace detail

/// out = alpha Σ_s terms[s] + beta out, `count` terms of out's extents, dense one after the other.
///
/// Sums in pairs by a tree that depends on `count` alone, in place: terms are used up. beta = 0
/// never reads out; count = 0 leaves beta out. Asynchronous.
template <class Acc, class Exec, class Provider>
void tree_sum(Context<Exec, Provider>& ctx, Acc* terms, Index count, double alpha, double beta,
              Rows<Acc> out) {
  Index const size = out.rows * out.cols;
  if (size == 0) {
    return;
  }
  constexpr Index group = 64;
  constexpr Index width = runs_on_host<Exec> ? 512 : 1;
  Index const pieces = (size + width - 1) / width;
  Index distance = size;
  for (Index left = count; left > 1; left = (left + group - 1) / group) {
    Index const groups = (left + group - 1) / group;
    for_each_index("dashi::kernels::tree_sum", ctx.exec(), groups * pieces, left * size,
                   detail::SumGroups<Acc>{terms, left, size, group, distance, width});
    distance *= group;
  }
  for_each_index("dashi::kernels::tree_sum", ctx.exec(), size, size,
                 detail::FinishSum<Acc>{count > 0 ? terms : nullptr, static_cast<Acc>(alpha),
                                        static_cast<Acc>(beta), out});
}

}  // namespace dashi::kernels
