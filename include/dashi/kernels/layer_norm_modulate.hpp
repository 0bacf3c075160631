// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/layer_norm_modulate_adjoint_rows.hpp>
#include <dashi/kernels/layer_norm_modulate_rows.hpp>
#include <dashi/kernels/layer_norm_modulate_teams.hpp>

#include <cstddef>
#include <string>

namespace dashi::kernels {

namespace detail {

inline Index samples_of(Index rows, Index rows_per_sample, char const* name) {
  DASHI_EXPECTS(
      rows_per_sample > 0 && rows % rows_per_sample == 0,
      std::string(name) + " has " + std::to_string(rows) +
          " rows, expected a multiple of rows_per_sample = " + std::to_string(rows_per_sample));
  return rows / rows_per_sample;
}

template <class T>
void expect_if_given(Rows<T> const& matrix, char const* name, Index rows, Index cols) {
  if (matrix.given()) {
    expect_extents(matrix, name, rows, cols);
  }
}

template <class T, class Exec>
void expect_consistent(LayerNormModulate<T, Exec> const& a) {
  Index const rows = a.x.rows;
  Index const cols = a.x.cols;
  Index const samples = samples_of(rows, a.rows_per_sample, "x of layer_norm_modulate");
  expect_extents(a.y, "y of layer_norm_modulate", rows, cols);
  expect_if_given(a.branch, "branch of layer_norm_modulate", rows, cols);
  expect_if_given(a.gate, "gate of layer_norm_modulate", samples, cols);
  expect_if_given(a.scale, "scale of layer_norm_modulate", samples, cols);
  expect_if_given(a.shift, "shift of layer_norm_modulate", samples, cols);
  if (a.branch.given()) {
    expect_extents(a.sum, "sum of layer_norm_modulate", rows, cols);
  }
  expect_size(a.mean.extent(0), "mean of layer_norm_modulate", rows);
  expect_size(a.reciprocal_deviation.extent(0), "reciprocal_deviation of layer_norm_modulate",
              rows);
}

template <class T, class Exec>
Index expect_consistent(LayerNormModulateAdjoint<T, Exec> const& a) {
  Index const rows = a.dy.rows;
  Index const cols = a.dy.cols;
  Index const samples = samples_of(rows, a.rows_per_sample, "dy of layer_norm_modulate_adjoint");
  expect_extents(a.sum, "sum of layer_norm_modulate_adjoint", rows, cols);
  expect_extents(a.d_sum, "d_sum of layer_norm_modulate_adjoint", rows, cols);
  expect_if_given(a.branch, "branch of layer_norm_modulate_adjoint", rows, cols);
  expect_if_given(a.gate, "gate of layer_norm_modulate_adjoint", samples, cols);
  expect_if_given(a.scale, "scale of layer_norm_modulate_adjoint", samples, cols);
  expect_if_given(a.other_d_sum, "other_d_sum of layer_norm_modulate_adjoint", rows, cols);
  expect_if_given(a.d_branch, "d_branch of layer_norm_modulate_adjoint", rows, cols);
  expect_if_given(a.d_gate, "d_gate of layer_norm_modulate_adjoint", samples, cols);
  expect_if_given(a.d_scale, "d_scale of layer_norm_modulate_adjoint", samples, cols);
  expect_if_given(a.d_shift, "d_shift of layer_norm_modulate_adjoint", samples, cols);
  DASHI_EXPECTS(a.branch.given() || !a.d_gate.given(),
                "layer_norm_modulate_adjoint: d_gate needs branch");
  expect_size(a.mean.extent(0), "mean of layer_norm_modulate_adjoint", rows);
  expect_size(a.reciprocal_deviation.extent(0),
              "reciprocal_deviation of layer_norm_modulate_adjoint", rows);
  return samples;
}

}  // namespace detail

/// h = x + gate[sample] * branch; y = (h - mean) / sqrt(variance + epsilon) * (1 + scale[sample]) +
/// shift[sample], each row on its own (DiT's adaLN-Zero, arXiv 2212.09748, section 3.2).
///
/// Storage T: double, float, BFloat16 or Float16; h is rounded to T before it is normalised, so
/// that the adjoint sees what was normalised. Reads and writes each array once: 2 (no branch) or 4
/// times the size of x. Asynchronous; no scratch.
template <class T, class Exec, class Provider>
void layer_norm_modulate(Context<Exec, Provider>& ctx,
                         LayerNormModulate<T, Exec> const& arguments) {
  detail::expect_consistent(arguments);
  if constexpr (runs_on_host<Exec>) {
    detail::layer_norm_modulate_by_rows(ctx.exec(), arguments);
  } else {
    detail::layer_norm_modulate_by_teams(ctx.exec(), arguments);
  }
}

/// Bytes of scratch that the adjoint needs for these extents.
template <class T>
std::size_t layer_norm_modulate_scratch_bytes(Index samples, Index rows_per_sample, Index cols) {
  Arena measuring;
  detail::layer_norm_levels<AccumulatorOf<T>, Kokkos::DefaultHostExecutionSpace>(
      measuring, samples, rows_per_sample, cols);
  return measuring.peak();
}

/// The adjoint: d_sum (of h; also the gradient of x), d_branch, and per sample d_gate, d_scale,
/// d_shift, with the same bits for any number of threads. Asynchronous; takes
/// layer_norm_modulate_scratch_bytes.
template <class T, class Exec, class Provider>
void layer_norm_modulate_adjoint(Context<Exec, Provider>& ctx,
                                 LayerNormModulateAdjoint<T, Exec> const& arguments) {
  Index const samples = detail::expect_consistent(arguments);
  Frame const frame(ctx.scratch());
  Index const blocks = samples * detail::norm_blocks(arguments.rows_per_sample);
  auto const memory =
      ctx.scratch().template matrix<AccumulatorOf<T>, Exec>(blocks, 3 * arguments.dy.cols);
  Rows<AccumulatorOf<T>> const partial{memory.data(), blocks, 3 * arguments.dy.cols,
                                       3 * arguments.dy.cols};
  if constexpr (runs_on_host<Exec>) {
    detail::layer_norm_modulate_adjoint_by_rows(ctx.exec(), arguments, partial);
  } else {
    detail::layer_norm_modulate_adjoint_by_teams(ctx.exec(), arguments, partial);
  }
  detail::sum_norm_partials(ctx.exec(), ctx.scratch(), arguments, partial);
}

}  // namespace dashi::kernels
