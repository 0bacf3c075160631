// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>
#include <dashi/diffusion/process_view.hpp>
#include <dashi/diffusion/weighting.hpp>
#include <dashi/kernels/exponential.hpp>

#include <Kokkos_Core.hpp>

// The loss of one element, with its slope in the model's output.
namespace dashi::diffusion::detail {

inline constexpr double bits_per_nat = 1.4426950408889634;

/// What the loss of a sample needs to know of its step.
struct StepTerms {
  double error_weight = 1;        ///< of the mean squared error
  double log_range = 0;           ///< log beta - log posterior variance
  double mean_weight = 0;         ///< (mean of p - mean of q)^2 / posterior variance for unit error
  double least_log_variance = 0;  ///< clipped, of the posterior
  double x0_per_noise = 0;        ///< change of the predicted x_0 with the predicted noise, negated
  bool decodes = false;           ///< step 0: x_0 itself is what must be likely

  /// NaN everywhere for a step that the process lacks.
  KOKKOS_INLINE_FUNCTION static StepTerms of(ProcessView const& process, Index step,
                                             Weighting const& weighting) {
    StepTerms s;
    if (!process.has(step)) {
      double const nan = Kokkos::Experimental::quiet_NaN_v<double>;
      s.error_weight = s.log_range = s.mean_weight = nan;
      return s;
    }
    double const abar = process.at(Coefficient::alpha_cumprod, step);
    s.error_weight = weighting.at(abar / (1.0 - abar));
    s.least_log_variance = process.at(Coefficient::posterior_log_variance_clipped, step);
    s.log_range = process.at(Coefficient::log_beta, step) - s.least_log_variance;
    s.x0_per_noise = process.at(Coefficient::sqrt_recipm1_alpha_cumprod, step);
    double const mean_per_noise = process.at(Coefficient::posterior_mean_x0, step) * s.x0_per_noise;
    s.mean_weight = mean_per_noise * mean_per_noise * kernels::exponential(-s.least_log_variance);
    s.decodes = step == 0;
    return s;
  }
};

/// A term of a loss and its derivative by the model's v.
template <class Real>
struct TermAndSlope {
  Real value;
  Real slope;
};

/// KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) of one element in nats: q has the least variance
/// exp(s), p has exp(s + (v + 1) / 2 log_range), and the means differ by a multiple of `error`, the
/// predicted noise minus the noise. That x_t is made of x_0 and the noise is used: rounding x_t to
/// a storage type does not enter the loss.
template <class Real>
KOKKOS_FORCEINLINE_FUNCTION TermAndSlope<Real> divergence(Real error, Real v, Real log_range,
                                                          Real mean_weight) {
  Real const excess = Real(0.5) * (v + Real(1)) * log_range;
  Real const shrink = kernels::exponential(-excess);
  Real const distance = mean_weight * error * error;
  Real const below_one = Real(1) - shrink;
  return {Real(0.5) * ((excess - below_one) + shrink * distance),
          Real(0.25) * log_range * (below_one - shrink * distance)};
}

/// Phi(z) by the approximation with tanh, 1/2 (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))), and its
/// derivative.
KOKKOS_FORCEINLINE_FUNCTION TermAndSlope<double> normal_cdf(double z) {
  constexpr double twice_root = 1.5957691216057308;  // 2 sqrt(2 / pi)
  double const s = kernels::sigmoid(twice_root * z * (1.0 + 0.044715 * z * z));
  return {s, s * (1.0 - s) * twice_root * (1.0 + 3.0 * 0.044715 * z * z)};
}

/// -log P(x_0) in nats of one of 256 levels of [-1, 1] under p(x_0 | x_1), whose mean is x_0 -
/// `distance` and log variance `log_variance`: the bin of half-width 1/255 around x_0, open at
/// both ends (Ho et al., arXiv 2006.11239, equation 13; probabilities below 1e-12 are cut off, as
/// in the original code). Slope: by the log variance.
KOKKOS_INLINE_FUNCTION TermAndSlope<double> decoder_loss(double x0, double distance,
                                                         double log_variance) {
  constexpr double least = 1e-12;
  double const inverse = kernels::exponential(-0.5 * log_variance);
  double const upper = inverse * (distance + 1.0 / 255.0);
  double const lower = inverse * (distance - 1.0 / 255.0);
  TermAndSlope<double> const above = normal_cdf(upper);
  TermAndSlope<double> const below = normal_cdf(lower);
  bool const first = x0 < -0.999;
  bool const last = x0 > 0.999;
  double const from = first ? 0.0 : below.value;
  double const to = last ? 1.0 : above.value;
  double const probability = to - from;
  if (probability < least) {
    return {-Kokkos::log(least), 0.0};
  }
  double const change =
      (last && !first ? 0.0 : above.slope * upper) - (first ? 0.0 : below.slope * lower);
  return {-Kokkos::log(probability), 0.5 * change / probability};
}

}  // namespace dashi::diffusion::detail
