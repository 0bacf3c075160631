// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/layer_norm_modulate_arguments.hpp>
#include <dashi/kernels/reduce_lanes.hpp>
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

}  // namespace dashi::kernels::detail
