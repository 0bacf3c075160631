// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/kernels/layer_norm_modulate_arguments.hpp>
#include <dashi/kernels/reduce_sums.hpp>
#include <dashi/kernels/run_tasks.hpp>

#include <Kokkos_Core.hpp>

// The adjoint of layer norm on host threads, and the sums per sample on any space.
namespace dashi::kernels::detail {

/// Rows of a sample whose contributions to d_gate, d_scale and d_shift one task adds.
inline constexpr Index norm_block = 32;

constexpr Index norm_blocks(Index rows_per_sample) { return pieces(rows_per_sample, norm_block); }

/// One block of rows: d_sum, d_branch, and the block's sums for d_gate | d_scale | d_shift in
/// `partial`.
template <class T>
struct NormAdjointKernel {
  using Real = AccumulatorOf<T>;
  Rows<T const> dy, sum, branch, gate, scale, other;
  Rows<T> d_sum, d_branch;
  Real const* mean;
  Real const* reciprocal_deviation;
  Index rows_per_sample;
  Rows<Real> partial;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index block = begin; block < end; ++block) {
      Index const blocks = norm_blocks(rows_per_sample);
      Index const sample = block / blocks;
      Index const first = (block - sample * blocks) * norm_block;
      Index const last =
          first + norm_block < rows_per_sample ? first + norm_block : rows_per_sample;
      for (Index c = 0; c < 3 * dy.cols; ++c) {
        partial.row(block)[c] = 0;
      }
      for (Index r = first; r < last; ++r) {
        add_row(sample * rows_per_sample + r, sample, partial.row(block));
      }
    }
  }

private:
  KOKKOS_FORCEINLINE_FUNCTION Index length(Index c) const {
    return dy.cols - c < chunk_size ? dy.cols - c : chunk_size;
  }

  /// g = dy and n = the normalised h, in chunks; both 0 past the end.
  KOKKOS_FORCEINLINE_FUNCTION void load(Index row, Index c, Chunk<Real>& g, Chunk<Real>& n) const {
    Real const m = mean[row];
    Real const reciprocal = reciprocal_deviation[row];
    g.load(dy.row(row) + c, length(c));
    n.load(sum.row(row) + c, length(c), m);
    for (Index i = 0; i < chunk_size; ++i) {
      n.value[i] = (n.value[i] - m) * reciprocal;
    }
  }

  KOKKOS_FORCEINLINE_FUNCTION void load_scale(Index sample, Index c, Chunk<Real>& s) const {
    s.fill(0);
    if (scale.given()) {
      s.load(scale.row(sample) + c, length(c));
    }
  }

  KOKKOS_FORCEINLINE_FUNCTION void add_row(Index row, Index sample, Real* sums) const {
    Chunk<Real> total;
    Chunk<Real> projected;
    total.fill(0);
    projected.fill(0);
    for (Index c = 0; c < dy.cols; c += chunk_size) {
      Chunk<Real> g;
      Chunk<Real> n;
      Chunk<Real> s;
      load(row, c, g, n);
      load_scale(sample, c, s);
      for (Index i = 0; i < chunk_size; ++i) {
        Real const scaled = g.value[i] * (Real(1) + s.value[i]);
        total.value[i] += scaled;
        projected.value[i] += scaled * n.value[i];
      }
    }
    Real const over = Real(1) / static_cast<Real>(dy.cols);
    Real const average = total.fold() * over;
    Real const slope = projected.fold() * over;
    for (Index c = 0; c < dy.cols; c += chunk_size) {
      finish(row, sample, c, average, slope, sums);
    }
  }

  KOKKOS_FORCEINLINE_FUNCTION void finish(Index row, Index sample, Index c, Real average,
                                          Real slope, Real* sums) const {
    Index const count = length(c);
    Real const reciprocal = reciprocal_deviation[row];
    Chunk<Real> g;
    Chunk<Real> n;
    Chunk<Real> s;
    Chunk<Real> dh;
    load(row, c, g, n);
    load_scale(sample, c, s);
    dh.fill(0);
    if (other.given()) {
      dh.load(other.row(row) + c, count);
    }
    for (Index i = 0; i < chunk_size; ++i) {
      dh.value[i] +=
          reciprocal * (g.value[i] * (Real(1) + s.value[i]) - average - n.value[i] * slope);
    }
    dh.store(d_sum.row(row) + c, count);
    Chunk<Real> b;
    Chunk<Real> part;
    b.fill(0);
    if (branch.given()) {
      b.load(branch.row(row) + c, count);
    }
    add(sums + c, count, dh, b);
    add(sums + dy.cols + c, count, g, n);
    part.fill(1);
    add(sums + 2 * dy.cols + c, count, g, part);
    if (d_branch.given()) {
      if (gate.given()) {
        part.load(gate.row(sample) + c, count);
      }
      for (Index i = 0; i < chunk_size; ++i) {
        part.value[i] *= dh.value[i];
      }
      part.store(d_branch.row(row) + c, count);
    }
  }

  /// sums += a * b.
  KOKKOS_FORCEINLINE_FUNCTION static void add(Real* sums, Index count, Chunk<Real> const& a,
                                              Chunk<Real> const& b) {
    Chunk<Real> total;
    total.load(sums, count);
    for (Index i = 0; i < chunk_size; ++i) {
      total.value[i] += a.value[i] * b.value[i];
    }
    total.store(sums, count);
  }
};

template <class T, class Exec>
void layer_norm_modulate_adjoint_by_rows(Exec const& exec,
                                         LayerNormModulateAdjoint<T, Exec> const& a,
                                         Rows<AccumulatorOf<T>> const& partial) {
  run_tasks("dashi::kernels::layer_norm_modulate_adjoint", exec, partial.rows,
            NormAdjointKernel<T>{a.dy, a.sum, a.branch, a.gate, a.scale, a.other_d_sum, a.d_sum,
                                 a.d_branch, a.mean.data(), a.reciprocal_deviation.data(),
                                 a.rows_per_sample, partial});
}

/// d_gate, d_scale and d_shift of each sample from the sums of its blocks.
template <class T, class Exec>
void sum_norm_partials(Exec const& exec, Arena& scratch, LayerNormModulateAdjoint<T, Exec> const& a,
                       Rows<AccumulatorOf<T>> const& partial) {
  Index const cols = a.dy.cols;
  Rows<T> const outputs[] = {a.d_gate, a.d_scale, a.d_shift};
  Index first = 0;
  for (Rows<T> const& output : outputs) {
    if (output.given()) {
      sum_segments(
          exec, scratch,
          Rows<AccumulatorOf<T> const>{partial.data + first, partial.rows, cols, partial.stride},
          norm_blocks(a.rows_per_sample), output, AccumulatorOf<T>(0));
    }
    first += cols;
  }
}

/// Takes what the adjoint takes.
template <class Real, class Exec>
void layer_norm_levels(Arena& scratch, Index samples, Index rows_per_sample, Index cols) {
  Index const blocks = norm_blocks(rows_per_sample);
  scratch.matrix<Real, Exec>(samples * blocks, 3 * cols);
  segment_levels<Real, Exec>(scratch, samples, blocks, cols);
}

}  // namespace dashi::kernels::detail
