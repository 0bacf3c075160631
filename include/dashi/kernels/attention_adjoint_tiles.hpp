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

// The adjoint of attention on host threads. A task is a head of a sample: for some keys at a time
// it goes over all queries, so that dk and dv stay in the first-level cache and nothing is shared.
namespace dashi::kernels::detail {

/// A thread's scratch, in numbers; sizes hold for every width of registers.
template <class Real>
struct AttentionAdjointTile {
  static constexpr Index most_queries = 24;
  static constexpr Index most_keys = 32;
  Index keys, queries, cols;
  Index packed_keys, packed_values, key_rows;
  Index query_rows, d_out_rows, dq;
  Index dk, dv, p, ds, log_sums, deltas, total;

  KOKKOS_INLINE_FUNCTION AttentionAdjointTile(Index tokens, Index head_size)
      : keys((tokens + 31) / 32 * 32),
        queries((tokens + 15) / 16 * 16 + 32),  // whole groups of 24 and of 12
        cols((head_size + 15) / 16 * 16) {
    packed_keys = 0;
    packed_values = packed_keys + keys * cols;
    key_rows = packed_values + keys * cols;
    query_rows = key_rows + keys * cols;
    d_out_rows = query_rows + queries * cols;
    dq = d_out_rows + queries * cols;
    dk = dq + queries * cols;
    dv = dk + most_keys * cols;
    p = dv + most_keys * cols;
    ds = p + most_queries * most_keys;
    log_sums = ds + most_queries * most_keys;
    deltas = log_sums + queries;
    total = deltas + queries;
  }
  static Index numbers(Index tokens, Index head_size) {
    return AttentionAdjointTile(tokens, head_size).total;
  }
};

template <class T>
struct AttentionAdjointKernel {
  using Real = AccumulatorOf<T>;
  using Layout = AttentionAdjointTile<Real>;
  Rows<T const> q, k, v, out, d_out;
  Real const* log_sum_exp;
  Rows<T> dq, dk, dv;
  Index tokens, heads, head_size;
  Real scale;
  Index tasks;
  TaskCounter counter;
  Real* scratch;
  Index unit = 1;  // for LeftFactor: a 1 that the compiler does not know

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    using Shape = TileShape<Real, Bytes>;
    Layout const layout(tokens, head_size);
    for (Index worker = begin; worker < end; ++worker) {
      for (Index task = counter.claim(); task < tasks; task = counter.claim()) {
        head<Lanes<Real, Shape::lanes>, Shape>(task, layout, scratch + worker * layout.total);
      }
    }
  }

private:
  /// Queries that meet some keys at a time: enough to make loading and storing dk and dv cheap.
  template <class Shape>
  static constexpr Index group = 2 * Shape::queries;

  template <class Vector, class Shape>
  KOKKOS_FORCEINLINE_FUNCTION void head(Index task, Layout const& layout, Real* memory) const {
    Index const sample = task / heads;
    Index const column = (task - sample * heads) * head_size;
    Index const row = sample * tokens;
    Index const cols = round_up(head_size, Shape::lanes);
    Index const padded = round_up(tokens, group<Shape>);
    pack<Shape>(row, column, task, cols, padded, layout, memory);
    for (Index key = 0; key < tokens; key += Shape::keys) {
      for (Index i = 0; i < Shape::keys * cols; ++i) {
        memory[layout.dk + i] = 0;
        memory[layout.dv + i] = 0;
      }
      for (Index query = 0; query < padded; query += group<Shape>) {
        block<Vector, Shape>(key, query, cols, layout, memory);
      }
      Index const count = tokens - key < Shape::keys ? tokens - key : Shape::keys;
      unpack(memory + layout.dk, cols, count, Real(1), dk.row(row + key) + column, dk.stride);
      unpack(memory + layout.dv, cols, count, Real(1), dv.row(row + key) + column, dv.stride);
    }
    unpack(memory + layout.dq, cols, tokens, scale, dq.row(row) + column, dq.stride);
  }

  /// Queries carry the scale, so that dk needs none.
  template <class Shape>
  KOKKOS_FORCEINLINE_FUNCTION void pack(Index row, Index column, Index task, Index cols,
                                        Index padded, Layout const& layout, Real* memory) const {
    Index const keys = round_up(tokens, Shape::keys);
    T const* const from_q = q.row(row) + column;
    T const* const from_k = k.row(row) + column;
    T const* const from_v = v.row(row) + column;
    T const* const from_g = d_out.row(row) + column;
    pack_transposed<Shape::keys>(from_k, k.stride, tokens, keys, head_size, Real(1),
                                 memory + layout.packed_keys);
    pack_transposed<Shape::keys>(from_v, v.stride, tokens, keys, head_size, Real(1),
                                 memory + layout.packed_values);
    pack_rows(from_k, k.stride, tokens, head_size, keys, cols, Real(1), memory + layout.key_rows);
    pack_rows(from_q, q.stride, tokens, head_size, padded, cols, scale, memory + layout.query_rows);
    pack_rows(from_g, d_out.stride, tokens, head_size, padded, cols, Real(1),
              memory + layout.d_out_rows);
    for (Index r = 0; r < padded; ++r) {
      Real delta = 0;  // <d_out, out>: what softmax's adjoint subtracts
      if (r < tokens) {
        T const* const o = out.row(row + r) + column;
        for (Index c = 0; c < head_size; ++c) {
          delta += widened(o[c]) * memory[layout.d_out_rows + r * cols + c];
        }
      }
      memory[layout.deltas + r] = delta;
      memory[layout.log_sums + r] = r < tokens ? log_sum_exp[task * tokens + r] : Real(0);
    }
  }

  /// Some queries against some keys.
  template <class Vector, class Shape>
  KOKKOS_FORCEINLINE_FUNCTION void block(Index key, Index query, Index cols, Layout const& layout,
                                         Real* memory) const {
    Real* const p = memory + layout.p;
    Real* const ds = memory + layout.ds;
    for (Index part = 0; part < group<Shape>; part += Shape::queries) {
      Index const from = (query + part) * cols;
      multiply_rows<Vector, 2, Shape::queries>(
          LeftFactor<Real>{memory + layout.query_rows + from, cols, 1, head_size},
          memory + layout.packed_keys + key * head_size, Shape::keys, p + part * Shape::keys,
          Shape::keys, false);
      multiply_rows<Vector, 2, Shape::queries>(
          LeftFactor<Real>{memory + layout.d_out_rows + from, cols, 1, head_size},
          memory + layout.packed_values + key * head_size, Shape::keys, ds + part * Shape::keys,
          Shape::keys, false);
    }
    softmax_adjoint<Shape>(key, memory + layout.log_sums + query, memory + layout.deltas + query, p,
                           ds);
    for (Index m = 0; m < Shape::keys; m += Shape::key_rows) {
      multiply_columns<Vector, Shape::key_rows>(
          cols, LeftFactor<Real>{p + m, 1, Shape::keys, group<Shape>},
          memory + layout.d_out_rows + query * cols, 0, memory + layout.dv + m * cols, true);
      multiply_columns<Vector, Shape::key_rows>(
          cols, LeftFactor<Real>{ds + m, 1, Shape::keys, group<Shape>},
          memory + layout.query_rows + query * cols, 0, memory + layout.dk + m * cols, true);
    }
    for (Index part = 0; part < group<Shape>; part += Shape::queries) {
      multiply_columns<Vector, Shape::queries>(
          cols, LeftFactor<Real>{ds + part * Shape::keys, Shape::keys * unit, 1, Shape::keys},
          memory + layout.key_rows + key * cols, 0, memory + layout.dq + (query + part) * cols,
          key > 0);
    }
  }

  /// p: scores, becomes the probabilities; ds: gradient of p, becomes that of the scores.
  template <class Shape>
  KOKKOS_FORCEINLINE_FUNCTION void softmax_adjoint(Index key, Real const* log_sums,
                                                   Real const* deltas, Real* p, Real* ds) const {
    Real present[static_cast<std::size_t>(Shape::keys)];
    for (Index j = 0; j < Shape::keys; ++j) {
      present[j] = key + j < tokens ? Real(0) : -Kokkos::Experimental::infinity_v<Real>;
    }
    for (Index r = 0; r < group<Shape>; ++r) {
      Real const log_sum = log_sums[r];
      Real const delta = deltas[r];
      Real weight[static_cast<std::size_t>(Shape::keys)];
      Real gradient[static_cast<std::size_t>(Shape::keys)];
      for (Index j = 0; j < Shape::keys; ++j) {
        weight[j] = exponential((p[r * Shape::keys + j] - log_sum) + present[j]);
        gradient[j] = weight[j] * (ds[r * Shape::keys + j] - delta);
      }
      for (Index j = 0; j < Shape::keys; ++j) {
        p[r * Shape::keys + j] = weight[j];
        ds[r * Shape::keys + j] = gradient[j];
      }
    }
  }

  KOKKOS_FORCEINLINE_FUNCTION void unpack(Real const* from, Index cols, Index rows, Real factor,
                                          T* to, Index stride) const {
    for (Index r = 0; r < rows; ++r) {
      for (Index c = 0; c < head_size; ++c) {
        to[r * stride + c] = convert<T>(factor * from[r * cols + c]);
      }
    }
  }
};

template <class T, class Exec>
void attention_adjoint_by_tiles(Exec const& exec, Arena& scratch,
                                AttentionAdjoint<T, Exec> const& a, AttentionSizes const& sizes) {
  using Real = AccumulatorOf<T>;
  Index const tasks = sizes.samples * sizes.heads;
  Index const threads = exec.concurrency();
  auto const memory = scratch.vector<Real, Exec>(
      threads * AttentionAdjointTile<Real>::numbers(sizes.tokens, sizes.head_size));
  auto const ticket = scratch.vector<Index, Exec>(1);
  run_tasks("dashi::kernels::attention_adjoint", exec, std::min(threads, tasks),
            AttentionAdjointKernel<T>{a.q, a.k, a.v, a.out, a.d_out, a.log_sum_exp.data(), a.dq,
                                      a.dk, a.dv, sizes.tokens, sizes.heads, sizes.head_size,
                                      static_cast<Real>(sizes.scale), tasks,
                                      task_counter(exec, ticket.data()), memory.data()});
}

}  // namespace dashi::kernels::detail
