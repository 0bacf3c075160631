// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/kernels/layer_norm_modulate_arguments.hpp>
#include <dashi/kernels/reduce_sums.hpp>
#include <dashi/kernels/run_tasks.hpp>

#include <Kokkos_Core.hpp>

// Layer norm on host threads: a row stays in the first-level cache and is passed over in chunks.
namespace dashi::kernels::detail {

template <class T>
struct NormRowsKernel {
  using Real = AccumulatorOf<T>;
  Rows<T const> x, branch, gate, scale, shift;
  Rows<T> sum, y;
  Real* mean;
  Real* reciprocal_deviation;
  Index rows_per_sample;
  Real epsilon;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index row = begin; row < end; ++row) {
      Index const sample = row / rows_per_sample;
      Index const cols = x.cols;
      auto const over = static_cast<Real>(1) / static_cast<Real>(cols);
      T const* const h = branch.given() ? sum.row(row) : x.row(row);
      Real const mean_of_row = add_branch(row, sample) * over;
      Chunk<Real> total;
      total.fill(0);
      for (Index c = 0; c < cols; c += chunk_size) {
        Chunk<Real> a;
        a.load(h + c, length(c), mean_of_row);
        for (Index i = 0; i < chunk_size; ++i) {
          Real const centred = a.value[i] - mean_of_row;
          total.value[i] += centred * centred;
        }
      }
      Real const reciprocal = Real(1) / Kokkos::sqrt(total.fold() * over + epsilon);
      mean[row] = mean_of_row;
      reciprocal_deviation[row] = reciprocal;
      modulate(h, row, sample, mean_of_row, reciprocal);
    }
  }

private:
  KOKKOS_FORCEINLINE_FUNCTION Index length(Index c) const {
    return x.cols - c < chunk_size ? x.cols - c : chunk_size;
  }

  /// Writes h where there is a branch; the sum of h's row.
  KOKKOS_FORCEINLINE_FUNCTION Real add_branch(Index row, Index sample) const {
    Chunk<Real> total;
    total.fill(0);
    for (Index c = 0; c < x.cols; c += chunk_size) {
      Chunk<Real> a;
      a.load(x.row(row) + c, length(c));
      if (branch.given()) {
        Chunk<Real> b;
        Chunk<Real> g;
        b.load(branch.row(row) + c, length(c));
        g.fill(1);
        if (gate.given()) {
          g.load(gate.row(sample) + c, length(c));
        }
        for (Index i = 0; i < chunk_size; ++i) {
          a.value[i] += g.value[i] * b.value[i];
        }
        a.template round_to<T>();
        a.store(sum.row(row) + c, length(c));
      }
      for (Index i = 0; i < chunk_size; ++i) {
        total.value[i] += a.value[i];
      }
    }
    return total.fold();
  }

  KOKKOS_FORCEINLINE_FUNCTION void modulate(T const* h, Index row, Index sample, Real mean_of_row,
                                            Real reciprocal) const {
    for (Index c = 0; c < x.cols; c += chunk_size) {
      Chunk<Real> a;
      Chunk<Real> s;
      Chunk<Real> b;
      a.load(h + c, length(c));
      s.fill(0);
      b.fill(0);
      if (scale.given()) {
        s.load(scale.row(sample) + c, length(c));
      }
      if (shift.given()) {
        b.load(shift.row(sample) + c, length(c));
      }
      for (Index i = 0; i < chunk_size; ++i) {
        a.value[i] = (a.value[i] - mean_of_row) * reciprocal * (Real(1) + s.value[i]) + b.value[i];
      }
      a.store(y.row(row) + c, length(c));
    }
  }
};

template <class T, class Exec>
void layer_norm_modulate_by_rows(Exec const& exec, LayerNormModulate<T, Exec> const& a) {
  run_tasks("dashi::kernels::layer_norm_modulate", exec, a.x.rows,
            NormRowsKernel<T>{a.x, a.branch, a.gate, a.scale, a.shift, a.sum, a.y, a.mean.data(),
                              a.reciprocal_deviation.data(), a.rows_per_sample,
                              static_cast<AccumulatorOf<T>>(a.epsilon)});
}

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
