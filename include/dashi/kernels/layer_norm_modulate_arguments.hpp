// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/accumulator.hpp>
#include <dashi/kernels/strided_rows.hpp>

namespace dashi::kernels {

/// What layer_norm_modulate reads and writes. Name the members you have; the others are left out:
/// no branch (x is normalised), no gate (1), no scale (0), no shift (0).
template <class T, class Exec>
struct LayerNormModulate {
  RowsOf<T const, Exec> x;       ///< [samples * rows_per_sample, cols]: input or residual
  RowsOf<T const, Exec> branch;  ///< as x: what the gate lets in
  RowsOf<T const, Exec> gate;    ///< [samples, cols], for instance columns of adaLN's output
  RowsOf<T const, Exec> scale;   ///< [samples, cols]
  RowsOf<T const, Exec> shift;   ///< [samples, cols]
  RowsOf<T, Exec> sum;           ///< as x, written where branch is given: h; may be x itself
  RowsOf<T, Exec> y;             ///< as x, written
  VectorOf<AccumulatorOf<T>, Exec> mean;                  ///< [rows], written: for the adjoint
  VectorOf<AccumulatorOf<T>, Exec> reciprocal_deviation;  ///< [rows], written: for the adjoint
  Index rows_per_sample = 1;
  double epsilon = 1e-6;
};

/// What the adjoint reads and writes. Left out outputs are not computed.
template <class T, class Exec>
struct LayerNormModulateAdjoint {
  RowsOf<T const, Exec> dy;           ///< [samples * rows_per_sample, cols]
  RowsOf<T const, Exec> sum;          ///< h; x where there was no branch
  RowsOf<T const, Exec> branch;       ///< as in the forward call; needed for d_gate
  RowsOf<T const, Exec> gate;         ///< as in the forward call
  RowsOf<T const, Exec> scale;        ///< as in the forward call
  RowsOf<T const, Exec> other_d_sum;  ///< gradient that reaches h past the norm; added to d_sum
  RowsOf<T, Exec> d_sum;              ///< written: gradient of h, which is that of x; may be
                                      ///< other_d_sum itself
  RowsOf<T, Exec> d_branch;           ///< written
  RowsOf<T, Exec> d_gate;             ///< [samples, cols], written
  RowsOf<T, Exec> d_scale;            ///< [samples, cols], written
  RowsOf<T, Exec> d_shift;            ///< [samples, cols], written
  VectorOf<AccumulatorOf<T> const, Exec> mean;
  VectorOf<AccumulatorOf<T> const, Exec> reciprocal_deviation;
  Index rows_per_sample = 1;
};

}  // namespace dashi::kernels
