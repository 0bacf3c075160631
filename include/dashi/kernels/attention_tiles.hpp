// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/kernels/attention_arguments.hpp>
#include <dashi/kernels/attention_multiply.hpp>
#include <dashi/kernels/attention_pack.hpp>
#include <dashi/kernels/exponential.hpp>
#include <dashi/kernels/run_tasks.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>

// Attention on host threads: keys and values of a head are packed once for up to 512 queries; a
// few queries at a time see all keys, so that softmax needs no rescaling.
namespace dashi::kernels::detail {

/// Queries of a task, which pack a head's keys and values together.
inline constexpr Index attention_queries = 516;  // a multiple of 12 and of 6

/// A thread's scratch, in numbers; sizes hold for every width of registers.
template <class Real>
struct AttentionTile {
  static constexpr Index most_queries = 12;
  Index keys, cols;
  Index packed_keys, values, scores, queries, out, total;

  KOKKOS_INLINE_FUNCTION AttentionTile(Index tokens, Index head_size)
      : keys((tokens + 31) / 32 * 32), cols((head_size + 15) / 16 * 16) {
    packed_keys = 0;
    values = packed_keys + keys * cols;
    scores = values + keys * cols;
    queries = scores + most_queries * keys;
    out = queries + most_queries * cols;
    total = out + most_queries * cols;
  }
  static Index numbers(Index tokens, Index head_size) {
    return AttentionTile(tokens, head_size).total;
  }
};

template <class T>
struct AttentionKernel {
  using Real = AccumulatorOf<T>;
  Rows<T const> q, k, v;
  Rows<T> out;
  Real* log_sum_exp;
  Index tokens, heads, head_size;
  Real scale;
  Index tasks;
  TaskCounter counter;
  Real* scratch;
  Index unit = 1;  // for LeftFactor: a 1 that the compiler does not know

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    using Shape = TileShape<Real, Bytes>;
    Index const blocks = (tokens + attention_queries - 1) / attention_queries;
    AttentionTile<Real> const layout(tokens, head_size);
    for (Index worker = begin; worker < end; ++worker) {
      for (Index task = counter.claim(); task < tasks; task = counter.claim()) {
        Index const head_of_sample = task / blocks;
        Index const first = (task - head_of_sample * blocks) * attention_queries;
        Index const last = first + attention_queries < tokens ? first + attention_queries : tokens;
        attend<Lanes<Real, Shape::lanes>, Shape>(head_of_sample, first, last, layout,
                                                 scratch + worker * layout.total);
      }
    }
  }

private:
  template <class Vector, class Shape>
  KOKKOS_FORCEINLINE_FUNCTION void attend(Index head_of_sample, Index first, Index last,
                                          AttentionTile<Real> const& layout, Real* memory) const {
    Index const sample = head_of_sample / heads;
    Index const column = (head_of_sample - sample * heads) * head_size;
    Index const row = sample * tokens;
    Index const panels = (tokens + Shape::keys - 1) / Shape::keys;
    Index const cols = round_up(head_size, Shape::lanes);
    Real* const keys = memory + layout.packed_keys;
    Real* const values = memory + layout.values;
    Real* const scores = memory + layout.scores;
    Real* const queries = memory + layout.queries;
    Real* const result = memory + layout.out;
    Index const padded = panels * Shape::keys;
    pack_transposed<Shape::keys>(k.row(row) + column, k.stride, tokens, padded, head_size, Real(1),
                                 keys);
    pack_panels<Shape::keys>(v.row(row) + column, v.stride, tokens, head_size, padded, cols,
                             values);
    for (Index query = first; query < last; query += Shape::queries) {
      Index const count = last - query < Shape::queries ? last - query : Shape::queries;
      pack_rows(q.row(row + query) + column, q.stride, count, head_size, Shape::queries, head_size,
                scale, queries);
      for (Index p = 0; p < panels; ++p) {
        multiply_rows<Vector, 2, Shape::queries>(
            LeftFactor<Real>{queries, head_size, 1, head_size}, keys + p * head_size * Shape::keys,
            Shape::keys, scores + p * Shape::queries * Shape::keys, Shape::keys, false);
      }
      Real sums[static_cast<std::size_t>(Shape::queries)];
      for (Index r = 0; r < Shape::queries; ++r) {
        Real const top = largest<Shape>(scores + r * Shape::keys, panels);
        sums[r] = exponentials<Shape>(scores + r * Shape::keys, panels, top);
        if (r < count) {
          log_sum_exp[head_of_sample * tokens + query + r] = top + Kokkos::log(sums[r]);
        }
      }
      LeftFactor<Real> const weights{
          scores, Shape::keys * unit, 1, Shape::keys, panels, (Shape::queries - 1) * Shape::keys};
      multiply_columns<Vector, Shape::queries>(cols, weights, values, padded, result, false);
      for (Index r = 0; r < count; ++r) {
        T* const to = out.row(row + query + r) + column;
        Real const over = Real(1) / sums[r];
        for (Index c = 0; c < head_size; ++c) {
          to[c] = convert<T>(result[r * cols + c] * over);
        }
      }
    }
  }

  /// Largest score of a row; scores past the last key become -infinity.
  template <class Shape>
  KOKKOS_FORCEINLINE_FUNCTION Real largest(Real* scores, Index panels) const {
    constexpr Index step = Index{Shape::queries} * Shape::keys;
    Real* const last = scores + (panels - 1) * step;
    for (Index j = tokens - (panels - 1) * Shape::keys; j < Shape::keys; ++j) {
      last[j] = -Kokkos::Experimental::infinity_v<Real>;
    }
    Real top[static_cast<std::size_t>(Shape::keys)];
    for (Index j = 0; j < Shape::keys; ++j) {
      top[j] = scores[j];
    }
    for (Index p = 1; p < panels; ++p) {
      for (Index j = 0; j < Shape::keys; ++j) {
        Real const score = scores[p * step + j];
        top[j] = top[j] < score ? score : top[j];
      }
    }
    for (Index width = Shape::keys / 2; width > 0; width /= 2) {
      for (Index j = 0; j < width; ++j) {
        top[j] = top[j] < top[j + width] ? top[j + width] : top[j];
      }
    }
    return top[0];
  }

  /// scores = exp(scores - top); their sum.
  template <class Shape>
  KOKKOS_FORCEINLINE_FUNCTION static Real exponentials(Real* scores, Index panels, Real top) {
    constexpr Index step = Index{Shape::queries} * Shape::keys;
    Real sum[static_cast<std::size_t>(Shape::keys)];
    for (Index j = 0; j < Shape::keys; ++j) {
      sum[j] = 0;
    }
    for (Index p = 0; p < panels; ++p) {
      Real* const piece = scores + p * step;
      for (Index j = 0; j < Shape::keys; ++j) {
        Real const e = exponential(piece[j] - top);
        piece[j] = e;
        sum[j] += e;
      }
    }
    for (Index width = Shape::keys / 2; width > 0; width /= 2) {
      for (Index j = 0; j < width; ++j) {
        sum[j] += sum[j + width];
      }
    }
    return sum[0];
  }
};

template <class T, class Exec>
void attention_by_tiles(Exec const& exec, Arena& scratch, Attention<T, Exec> const& a,
                        AttentionSizes const& sizes) {
  using Real = AccumulatorOf<T>;
  Index const tasks =
      sizes.samples * sizes.heads * ((sizes.tokens + attention_queries - 1) / attention_queries);
  Index const threads = exec.concurrency();
  auto const memory = scratch.vector<Real, Exec>(
      threads * AttentionTile<Real>::numbers(sizes.tokens, sizes.head_size));
  auto const ticket = scratch.vector<Index, Exec>(1);
  run_tasks("dashi::kernels::attention", exec, std::min(threads, tasks),
            AttentionKernel<T>{a.q, a.k, a.v, a.out, a.log_sum_exp.data(), sizes.tokens,
                               sizes.heads, sizes.head_size, static_cast<Real>(sizes.scale), tasks,
                               task_counter(exec, ticket.data()), memory.data()});
}

}  // namespace dashi::kernels::detail
