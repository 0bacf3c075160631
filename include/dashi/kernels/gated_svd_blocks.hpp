// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/kernels/gated_svd.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::kernels {

/// 0/1 gates known to the host: a learngene that every class has, then tailors in blocks of equal
/// rank, of which each class has some. KIND, arXiv 2408.07337.
struct GateBlocks {
  Index learngene = 0;                     ///< components 0..learngene-1
  Index block = 1;                         ///< rank of a block of tailors
  std::vector<std::vector<Index>> active;  ///< of each class its blocks, ascending, from 0

  /// Components of a class that are not learngene.
  Index active_tailors(Index label) const {
    return static_cast<Index>(active[static_cast<std::size_t>(label)].size()) * block;
  }
};

/// How a layer with block gates is computed.
enum class GatePath : unsigned char {
  masked,   ///< all components for all rows, inactive ones times zero
  grouped,  ///< the learngene for all rows, each class' tailors for its rows only
};

namespace detail {

/// Throws PreconditionError where the blocks of the labels' classes are not among the components.
inline void expect_gate_blocks(GateBlocks const& blocks, std::span<std::int64_t const> labels,
                               Index rank) {
  auto const text = [](auto number) { return std::to_string(number); };
  DASHI_EXPECTS(blocks.learngene >= 0 && blocks.learngene <= rank,
                "learngene of " + text(blocks.learngene) + " components, rank is " + text(rank));
  DASHI_EXPECTS(blocks.block > 0,
                "a block of tailors has rank " + text(blocks.block) + ", expected at least 1");
  Index const most = (rank - blocks.learngene) / blocks.block;
  for (std::int64_t const label : labels) {
    DASHI_EXPECTS(label >= 0 && static_cast<std::size_t>(label) < blocks.active.size(),
                  "class " + text(label) + " of " + text(blocks.active.size()));
    Index next = 0;
    for (Index const b : blocks.active[static_cast<std::size_t>(label)]) {
      DASHI_EXPECTS(b >= next && b < most, "class " + text(label) + " has block " + text(b) +
                                               " where at least " + text(next) +
                                               " is expected and less than " + text(most) +
                                               ", the blocks in rank " + text(rank));
      next = b + 1;
    }
  }
}

}  // namespace detail

/// Grouped when the rows need less than half of the tailors on average: below that the smaller
/// products lose less than they save (docs/maths/svd_gate.md). `rank` counts all components.
/// Throws PreconditionError for labels and blocks that gated_apply_blocks refuses.
inline GatePath plan_gates(GateBlocks const& blocks, std::span<std::int64_t const> labels,
                           Index rank) {
  detail::expect_gate_blocks(blocks, labels, rank);
  double active = 0;
  for (std::int64_t const label : labels) {
    active += static_cast<double>(blocks.active_tailors(label));
  }
  double const all =
      static_cast<double>(rank - blocks.learngene) * static_cast<double>(labels.size());
  return active < 0.5 * all ? GatePath::grouped : GatePath::masked;
}

namespace detail {

/// Components [first, first + count).
template <class T, class Exec>
SvdFactors<T, Exec> some_components(SvdFactors<T, Exec> f, Index first, Index count) {
  static_cast<Rows<T const>&>(f.ut) = some_rows<T const>(f.ut, first, count);
  static_cast<Rows<T const>&>(f.vt) = some_rows<T const>(f.vt, first, count);
  f.sigma = VectorOf<T const, Exec>(f.sigma.data() + first, static_cast<std::size_t>(count));
  return f;
}

template <class T, class Exec>
RowsOf<T, Exec> rows_range(RowsOf<T, Exec> rows, Index first, Index count) {
  static_cast<Rows<T>&>(rows) = some_rows<T>(rows, first, count);
  return rows;
}

/// Neighbouring blocks as ranges {first component, components}.
inline std::vector<std::pair<Index, Index>> component_ranges(GateBlocks const& blocks,
                                                             Index label) {
  std::vector<std::pair<Index, Index>> ranges;
  for (Index const b : blocks.active[static_cast<std::size_t>(label)]) {
    Index const first = blocks.learngene + b * blocks.block;
    if (!ranges.empty() && ranges.back().first + ranges.back().second == first) {
      ranges.back().second += blocks.block;
    } else {
      ranges.push_back({first, blocks.block});
    }
  }
  return ranges;
}

/// gated_apply by some of `f`'s components, on as many rows at a time as all components' scratch
/// has room for: fewer components would take longer tiles, which can need more bytes.
template <class T, class Exec, class Provider>
void apply_components(Context<Exec, Provider>& ctx, SvdFactors<T, Exec> const& f, Index first,
                      Index count, RowsOf<T const, Exec> const& x, RowsOf<T, Exec> const& y,
                      double beta) {
  Index const tile = gated_tile<T, Exec>(f.rank(), x.rows);
  for (Index row = 0; row < x.rows; row += tile) {
    Index const rows = std::min(tile, x.rows - row);
    gated_apply<T>(ctx, some_components(f, first, count), {}, rows_range(x, row, rows),
                   rows_range(y, row, rows), beta);
  }
}

}  // namespace detail

/// y = beta y + the gated layer with 0/1 block gates, inactive tailors skipped.
///
/// labels: the class of each sample, on the host; samples of one class side by side are worked on
/// together, so sort a batch by class. The same number as gated_apply with the table of `blocks`,
/// for inference and frozen tailors (nothing is saved). FLOP: 2 (m + n) times the active components
/// of all rows. Takes gated_apply_scratch bytes of all components and rows. Asynchronous. Throws
/// PreconditionError for a label that is no class and for blocks beyond the components.
template <class T, class Exec, class Provider>
void gated_apply_blocks(Context<Exec, Provider>& ctx,
                        std::type_identity_t<SvdFactors<T, Exec>> const& f,
                        GateBlocks const& blocks, std::span<std::int64_t const> labels,
                        Index rows_per_sample, RowsArgument<T const, Exec> const& x,
                        RowsArgument<T, Exec> const& y, double beta = 0) {
  detail::expect_factors(f);
  detail::expect_extents<T const>(x, "x", static_cast<Index>(labels.size()) * rows_per_sample,
                                  f.vt.cols);
  detail::expect_extents<T>(y, "y", x.rows, f.ut.cols);
  detail::expect_gate_blocks(blocks, labels, f.rank());
  detail::apply_components<T, Exec>(ctx, f, 0, blocks.learngene, x, y, beta);
  for (std::size_t s = 0; s < labels.size();) {
    std::size_t end = s + 1;
    while (end < labels.size() && labels[end] == labels[s]) {
      ++end;
    }
    Index const first = static_cast<Index>(s) * rows_per_sample;
    Index const count = static_cast<Index>(end - s) * rows_per_sample;
    for (auto const& [component, components] : detail::component_ranges(blocks, labels[s])) {
      detail::apply_components<T, Exec>(ctx, f, component, components,
                                        detail::rows_range(x, first, count),
                                        detail::rows_range(y, first, count), 1);
    }
    s = end;
  }
}

}  // namespace dashi::kernels
