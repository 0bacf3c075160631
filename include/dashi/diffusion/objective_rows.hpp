// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/diffusion/objective_arguments.hpp>
#include <dashi/kernels/reduce_lanes.hpp>
#include <dashi/kernels/run_tasks.hpp>

#include <Kokkos_Core.hpp>

// Objectives on host threads: a sample a task, one pass over its output in chunks. Every 4096
// elements the sums of the chunks move on to double.
namespace dashi::diffusion::detail {

inline constexpr Index objective_piece = 4096;

template <class T, class X>
struct ObjectiveRows {
  using Arguments = ObjectiveArguments<T, X>;
  using Real = typename Arguments::Real;
  using Chunk = kernels::detail::Chunk<Real>;
  static constexpr Index chunk_size = kernels::detail::chunk_size;
  Arguments a;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index sample = begin; sample < end; ++sample) {
      StepTerms const s = a.terms(sample);
      double squares = 0;
      double nats = 0;
      for (Index first = 0; first < a.target.cols; first += objective_piece) {
        Index const last =
            first + objective_piece < a.target.cols ? first + objective_piece : a.target.cols;
        Chunk square_sums;
        Chunk nat_sums;
        square_sums.fill(0);
        nat_sums.fill(0);
        for (Index c = first; c < last; c += chunk_size) {
          Index const count = last - c < chunk_size ? last - c : chunk_size;
          Chunk errors;
          add_errors(s, sample, c, count, errors, square_sums);
          if (a.learned_range && s.decodes) {
            nats += add_decoder_terms(s, sample, c, count);
          } else if (a.learned_range) {
            add_divergences(s, sample, c, count, errors, nat_sums);
          }
        }
        squares += static_cast<double>(square_sums.fold());
        nats += static_cast<double>(nat_sums.fold());
      }
      a.write(sample, s, squares, nats);
    }
  }

private:
  KOKKOS_FORCEINLINE_FUNCTION void add_errors(StepTerms const& s, Index sample, Index c,
                                              Index count, Chunk& errors, Chunk& sums) const {
    Chunk target;
    errors.load(a.output.row(sample) + c, count);
    target.load(a.target.row(sample) + c, count);
    for (Index i = 0; i < chunk_size; ++i) {
      errors.value[i] -= target.value[i];
      sums.value[i] += errors.value[i] * errors.value[i];
    }
    if (a.wants_gradient()) {
      auto const scale = static_cast<Real>(a.error_scale(s, sample));
      for (Index i = 0; i < chunk_size; ++i) {
        target.value[i] = scale * errors.value[i];
      }
      target.store(a.d_output.row(sample) + c, count);
    }
  }

  KOKKOS_FORCEINLINE_FUNCTION void add_divergences(StepTerms const& s, Index sample, Index c,
                                                   Index count, Chunk const& errors,
                                                   Chunk& sums) const {
    auto const log_range = static_cast<Real>(s.log_range);
    auto const mean_weight = static_cast<Real>(s.mean_weight);
    auto const scale = static_cast<Real>(a.bound_scale(sample));
    Chunk v;
    v.load(a.output.row(sample) + a.target.cols + c, count, Real(-1));  // -1: no divergence
    for (Index i = 0; i < chunk_size; ++i) {
      TermAndSlope<Real> const term =
          divergence(errors.value[i], v.value[i], log_range, mean_weight);
      sums.value[i] += term.value;
      v.value[i] = scale * term.slope;
    }
    if (a.wants_gradient()) {
      v.store(a.d_output.row(sample) + a.target.cols + c, count);
    }
  }

  /// One step in the whole process: not vectorised, in double.
  KOKKOS_FORCEINLINE_FUNCTION double add_decoder_terms(StepTerms const& s, Index sample, Index c,
                                                       Index count) const {
    double sum = 0;
    double const scale = a.bound_scale(sample);
    for (Index i = c; i < c + count; ++i) {
      TermAndSlope<double> const term = a.decoder_term(s, sample, i);
      sum += term.value;
      if (a.wants_gradient()) {
        a.d_output.row(sample)[a.target.cols + i] = convert<T>(scale * term.slope);
      }
    }
    return sum;
  }
};

template <class Exec, class T, class X>
void objective_by_rows(Exec const& exec, ObjectiveArguments<T, X> const& a) {
  kernels::run_tasks("dashi::diffusion::objective", exec, a.target.rows, ObjectiveRows<T, X>{a});
}

}  // namespace dashi::diffusion::detail
