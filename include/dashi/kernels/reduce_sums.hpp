// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/kernels/accumulator.hpp>
#include <dashi/kernels/league_size.hpp>
#include <dashi/kernels/reduce_lanes.hpp>
#include <dashi/kernels/run_tasks.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>

// The kernels of reduce.hpp: levels of sums over fixed pieces, until one number is left.
namespace dashi::kernels::detail {

inline constexpr Index sum_piece = 4096;    // elements that one task adds
inline constexpr Index segment_piece = 64;  // rows that one task adds
inline constexpr Index column_strip = 1024;

constexpr Index pieces(Index count, Index size) {
  return count <= size ? 1 : (count + size - 1) / size;
}

template <class T>
struct ValueTerm {
  T const* x;
  using Real = AccumulatorOf<T>;
  KOKKOS_FORCEINLINE_FUNCTION Real at(Index i) const { return widened(x[i]); }
  KOKKOS_FORCEINLINE_FUNCTION void add(Index i, Index count, Chunk<Real>& total) const {
    Chunk<Real> a;
    a.load(x + i, count);
    for (Index k = 0; k < chunk_size; ++k) {
      total.value[k] += a.value[k];
    }
  }
};

template <class T>
struct ProductTerm {
  T const* x;
  T const* y;
  using Real = AccumulatorOf<T>;
  KOKKOS_FORCEINLINE_FUNCTION Real at(Index i) const { return widened(x[i]) * widened(y[i]); }
  KOKKOS_FORCEINLINE_FUNCTION void add(Index i, Index count, Chunk<Real>& total) const {
    Chunk<Real> a;
    Chunk<Real> b;
    a.load(x + i, count);
    b.load(y + i, count);
    for (Index k = 0; k < chunk_size; ++k) {
      total.value[k] += a.value[k] * b.value[k];
    }
  }
};

/// partial[p] = sum of the terms of piece p.
template <class Term>
struct SumKernel {
  Term term;
  Index count;
  typename Term::Real* partial;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index piece = begin; piece < end; ++piece) {
      Index const last = (piece + 1) * sum_piece < count ? (piece + 1) * sum_piece : count;
      Chunk<typename Term::Real> total;
      total.fill(0);
      for (Index i = piece * sum_piece; i < last; i += chunk_size) {
        term.add(i, last - i < chunk_size ? last - i : chunk_size, total);
      }
      partial[piece] = total.fold();
    }
  }
};

/// The same for devices: a team a piece.
template <class Exec, class Term>
void sum_pieces_by_teams(Exec const& exec, Index count, Term const& term,
                         typename Term::Real* partial) {
  using Policy = Kokkos::TeamPolicy<Exec, Kokkos::IndexType<Index>>;
  int const league = league_size(pieces(count, sum_piece), "sum");
  Kokkos::parallel_for(
      "dashi::kernels::sum", Policy(exec, league, runs_on_host<Exec> ? 1 : 256),
      KOKKOS_LAMBDA(typename Policy::member_type const& team) {
        Index const first = team.league_rank() * sum_piece;
        Index const length = count - first < sum_piece ? count - first : sum_piece;
        typename Term::Real total = 0;
        Kokkos::parallel_reduce(
            Kokkos::TeamThreadRange(team, length),
            [&](Index i, typename Term::Real& part) { part += term.at(first + i); }, total);
        Kokkos::single(Kokkos::PerTeam(team), [&]() { partial[team.league_rank()] = total; });
      });
}

/// Takes what sum_terms takes.
template <class Real, class Exec>
void sum_levels(Arena& scratch, Index count) {
  for (Index left = pieces(count, sum_piece); left > 1; left = pieces(left, sum_piece)) {
    scratch.vector<Real, Exec>(left);
  }
}

/// out[0] = sum of term(0..count).
template <class Exec, class Term>
void sum_terms(Exec const& exec, Arena& scratch, Index count, Term const& term,
               typename Term::Real* out) {
  using Real = typename Term::Real;
  Frame const frame(scratch);
  Index const left = pieces(count, sum_piece);
  Real* const partial = left == 1 ? out : scratch.vector<Real, Exec>(left).data();
  if constexpr (runs_on_host<Exec>) {
    run_tasks("dashi::kernels::sum", exec, left, SumKernel<Term>{term, count, partial});
  } else {
    sum_pieces_by_teams(exec, count, term, partial);
  }
  if (left > 1) {
    sum_terms(exec, scratch, left, ValueTerm<Real>{partial}, out);
  }
}

/// out[segment * blocks + block, c] = beta out + sum of x over the rows of a block of a segment.
/// Strip columns a task: 1 on devices.
template <class In, class Out, Index Strip>
struct SegmentSumKernel {
  Rows<In const> x;
  Index rows_per_segment;
  Index blocks;
  Index strips;
  Rows<Out> out;
  AccumulatorOf<In> beta;
  using Real = AccumulatorOf<In>;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index task = begin; task < end; ++task) {
      Index const to = task / strips;
      Index const segment = to / blocks;
      Index const first = (to - segment * blocks) * segment_piece;
      Index const last =
          first + segment_piece < rows_per_segment ? first + segment_piece : rows_per_segment;
      Index const from = segment * rows_per_segment;
      Index const c = (task - to * strips) * Strip;
      if constexpr (Strip == 1) {
        add_column(from + first, from + last, c, to);
      } else {
        add_columns(from + first, from + last, c, c + Strip < x.cols ? Strip : x.cols - c, to);
      }
    }
  }

private:
  KOKKOS_FORCEINLINE_FUNCTION void add_column(Index first, Index last, Index c, Index to) const {
    Real total = 0;
    for (Index r = first; r < last; ++r) {
      total += widened(x.row(r)[c]);
    }
    write(out.row(to)[c], total);
  }

  KOKKOS_FORCEINLINE_FUNCTION void add_columns(Index first, Index last, Index c, Index width,
                                               Index to) const {
    Real total[static_cast<std::size_t>(Strip)];
    for (Index i = 0; i < width; ++i) {
      total[i] = 0;
    }
    for (Index r = first; r < last; ++r) {
      In const* const row = x.row(r) + c;
      for (Index i = 0; i < width; ++i) {
        total[i] += widened(row[i]);
      }
    }
    for (Index i = 0; i < width; ++i) {
      write(out.row(to)[c + i], total[i]);
    }
  }

  KOKKOS_FORCEINLINE_FUNCTION void write(Out& where, Real total) const {
    where = convert<Out>(beta == Real(0) ? total
                                         : total + beta * static_cast<Real>(convert<Real>(where)));
  }
};

/// Takes what sum_segments takes.
template <class Real, class Exec>
void segment_levels(Arena& scratch, Index segments, Index rows_per_segment, Index cols) {
  for (Index left = pieces(rows_per_segment, segment_piece); left > 1;
       left = pieces(left, segment_piece)) {
    scratch.matrix<Real, Exec>(segments * left, cols);
  }
}

template <class Exec, class In, class Out>
void sum_segments(Exec const& exec, Arena& scratch, Rows<In const> const& x, Index rows_per_segment,
                  Rows<Out> const& out, AccumulatorOf<In> beta) {
  using Real = AccumulatorOf<In>;
  Index const blocks = pieces(rows_per_segment, segment_piece);
  constexpr Index strip = runs_on_host<Exec> ? column_strip : 1;
  Index const strips = (x.cols + strip - 1) / strip;
  if (blocks == 1) {
    run_tasks("dashi::kernels::segment_sums", exec, out.rows * strips,
              SegmentSumKernel<In, Out, strip>{x, rows_per_segment, 1, strips, out, beta});
    return;
  }
  Frame const frame(scratch);
  auto const memory = scratch.matrix<Real, Exec>(out.rows * blocks, x.cols);
  Rows<Real> const partial{memory.data(), out.rows * blocks, x.cols, x.cols};
  run_tasks("dashi::kernels::segment_sums", exec, partial.rows * strips,
            SegmentSumKernel<In, Real, strip>{x, rows_per_segment, blocks, strips, partial, 0});
  sum_segments(exec, scratch,
               Rows<Real const>{partial.data, partial.rows, partial.cols, partial.stride}, blocks,
               out, beta);
}

}  // namespace dashi::kernels::detail
