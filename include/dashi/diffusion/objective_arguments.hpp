// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>
#include <dashi/diffusion/objective_terms.hpp>
#include <dashi/kernels/accumulator.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>
#include <type_traits>

namespace dashi::diffusion::detail {

/// The arrays of an objective, for its kernels. T: the model's output; X: images and noise.
template <class T, class X>
struct ObjectiveArguments {
  using Real = std::common_type_t<kernels::AccumulatorOf<T>, kernels::AccumulatorOf<X>>;

  ProcessView process;    // no table: every step has weight 1
  std::int64_t const* t;  // null with it
  Weighting weighting;
  bool learned_range;
  kernels::Rows<T const> output;  // [samples, size], or twice as many columns: noise, then v
  kernels::Rows<X const> target;  // [samples, size]
  kernels::Rows<X const> x0;      // read at step 0 only
  double const* sample_weight;    // null without d_output
  double* loss;
  double* mse;  // null for none
  double* vb;   // null for none
  kernels::Rows<T> d_output;

  KOKKOS_INLINE_FUNCTION StepTerms terms(Index sample) const {
    return process.table == nullptr ? StepTerms{} : StepTerms::of(process, t[sample], weighting);
  }
  KOKKOS_FORCEINLINE_FUNCTION bool wants_gradient() const { return d_output.given(); }
  /// Factors of the squared error's and the variational term's slopes in one element.
  KOKKOS_FORCEINLINE_FUNCTION double error_scale(StepTerms const& s, Index sample) const {
    return wants_gradient()
               ? sample_weight[sample] * s.error_weight * 2.0 / static_cast<double>(target.cols)
               : 0.0;
  }
  KOKKOS_FORCEINLINE_FUNCTION double bound_scale(Index sample) const {
    return wants_gradient()
               ? sample_weight[sample] * bits_per_nat / static_cast<double>(target.cols)
               : 0.0;
  }

  KOKKOS_FORCEINLINE_FUNCTION Real error(Index sample, Index i) const {
    return convert<Real>(output.row(sample)[i]) - convert<Real>(target.row(sample)[i]);
  }
  /// The variational term of element i at step 0, slope by v.
  KOKKOS_INLINE_FUNCTION TermAndSlope<double> decoder_term(StepTerms const& s, Index sample,
                                                           Index i) const {
    double const v = convert<double>(output.row(sample)[target.cols + i]);
    double const log_variance = s.least_log_variance + 0.5 * (v + 1.0) * s.log_range;
    double const error =
        convert<double>(output.row(sample)[i]) - convert<double>(target.row(sample)[i]);
    TermAndSlope<double> const term =
        decoder_loss(convert<double>(x0.row(sample)[i]), s.x0_per_noise * error, log_variance);
    return {term.value, term.slope * 0.5 * s.log_range};
  }

  KOKKOS_INLINE_FUNCTION void write(Index sample, StepTerms const& s, double squares,
                                    double nats) const {
    auto const size = static_cast<double>(target.cols);
    double const error = squares / size;
    double const bits = learned_range ? nats * bits_per_nat / size : 0.0;
    loss[sample] = s.error_weight * error + bits;
    if (mse != nullptr) {
      mse[sample] = error;
    }
    if (vb != nullptr) {
      vb[sample] = bits;
    }
  }
};

}  // namespace dashi::diffusion::detail
