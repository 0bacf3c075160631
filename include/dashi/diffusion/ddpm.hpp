// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/diffusion/predict_x0.hpp>
#include <dashi/diffusion/sampler.hpp>
#include <dashi/kernels/exponential.hpp>

#include <cmath>
#include <cstdint>

namespace dashi::diffusion {

namespace detail {

template <class Real>
struct DdpmKernel {
  PredictX0 predict;
  double per_x0, per_xt;           // of the posterior mean
  double log_variance, log_range;  // at v = -1, and by how much more at v = 1
  bool learned, noisy;
  kernels::Rows<Real const> output, noise;
  kernels::Rows<Real> x, predicted_x0;

  KOKKOS_FORCEINLINE_FUNCTION void element(Index n, Index i) const {
    auto const x_t = convert<double>(x.row(n)[i]);
    double const x0 = predict.value(x_t, convert<double>(output.row(n)[i]));
    double result = per_x0 * x0 + per_xt * x_t;
    if (noisy) {
      double const v = learned ? convert<double>(output.row(n)[x.cols + i]) : -1.0;
      double const deviation =
          kernels::exponential(0.5 * (log_variance + 0.5 * (v + 1.0) * log_range));
      result += deviation * convert<double>(noise.row(n)[i]);
    }
    x.row(n)[i] = convert<Real>(result);
    predicted_x0.row(n)[i] = convert<Real>(x0);
  }
};

}  // namespace detail

/// Ancestral sampling (Ho et al., arXiv 2006.11239, algorithm 2): x of the step before is the mean
/// of the posterior at the predicted x_0, plus noise of its variance. In double, element by
/// element.
struct Ddpm {
  enum class Variance : std::int32_t {
    learned_range,  ///< by the output's second half (Nichol and Dhariwal, arXiv 2102.09672)
    fixed_small,    ///< of the posterior, clipped at step 0
    fixed_large,    ///< beta
  };
  Index steps = 250;
  Variance variance = Variance::learned_range;
  bool clip = false;  ///< the predicted x_0 to [-1, 1]

  Spacing spacing() const { return Spacing(steps); }
  bool draws_noise() const { return true; }

  /// Asynchronous. output needs 2 size columns for a learned variance, else its second half, if
  /// any, is not read.
  template <class Real, class Exec, class Provider>
  void step(Context<Exec, Provider>& ctx, SamplerStep<Real, Exec> const& s) const {
    bool const learned = variance == Variance::learned_range;
    detail::expect_consistent(s, learned, true, "Ddpm");
    Process const& p = s.process;
    double const small = p.at(Coefficient::posterior_log_variance_clipped, s.step);
    double const large = p.at(Coefficient::log_beta, s.step);
    detail::for_each_element(
        "dashi::diffusion::Ddpm", ctx.exec(), s.x.rows, s.x.cols,
        detail::DdpmKernel<Real>{detail::PredictX0(p, s.step, clip),
                                 p.at(Coefficient::posterior_mean_x0, s.step),
                                 p.at(Coefficient::posterior_mean_xt, s.step),
                                 variance == Variance::fixed_large ? large : small, large - small,
                                 learned, s.step > 0, s.output, s.noise, s.x, s.predicted_x0});
  }
};

}  // namespace dashi::diffusion
