// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/diffusion/predict_x0.hpp>
#include <dashi/diffusion/sampler.hpp>

#include <algorithm>
#include <cmath>

namespace dashi::diffusion {

namespace detail {

template <class Real>
struct DdimKernel {
  PredictX0 predict;
  double per_x0, per_predicted, deviation;
  bool noisy;
  kernels::Rows<Real const> output, noise;
  kernels::Rows<Real> x, predicted_x0;

  KOKKOS_FORCEINLINE_FUNCTION void element(Index n, Index i) const {
    auto const x_t = convert<double>(x.row(n)[i]);
    auto const predicted = convert<double>(output.row(n)[i]);
    double const x0 = predict.value(x_t, predicted);
    double result = per_x0 * x0 + per_predicted * predict.noise(x_t, x0, predicted);
    if (noisy) {
      result += deviation * convert<double>(noise.row(n)[i]);
    }
    x.row(n)[i] = convert<Real>(result);
    predicted_x0.row(n)[i] = convert<Real>(x0);
  }
};

}  // namespace detail

/// Denoising diffusion implicit models (Song et al., arXiv 2010.02502, equations 12 and 16):
/// x of the step before = sqrt(abar_prev) x_0 + sqrt(1 - abar_prev - sigma^2) noise predicted +
/// sigma noise drawn, sigma = eta sqrt((1 - abar_prev) / (1 - abar)) sqrt(1 - abar / abar_prev).
/// In double, element by element.
struct Ddim {
  Index steps = 50;
  double eta = 0;     ///< 0: no noise after the first, 1: as noisy as Ddpm
  bool clip = false;  ///< the predicted x_0 to [-1, 1]; the noise predicted follows it

  Spacing spacing() const { return Spacing(steps); }
  bool draws_noise() const { return eta > 0; }

  /// Asynchronous. A second half of the output (v) is not read.
  template <class Real, class Exec, class Provider>
  void step(Context<Exec, Provider>& ctx, SamplerStep<Real, Exec> const& s) const {
    detail::expect_consistent(s, false, draws_noise(), "Ddim");
    double const abar = s.process.alpha_cumprod(s.step);
    double const before = s.process.at(Coefficient::alpha_cumprod_prev, s.step);
    double const sigma =
        eta * std::sqrt((1.0 - before) / (1.0 - abar)) * std::sqrt(1.0 - abar / before);
    double const left = std::max(1.0 - before - sigma * sigma, 0.0);  // rounding can fall below
    detail::for_each_element(
        "dashi::diffusion::Ddim", ctx.exec(), s.x.rows, s.x.cols,
        detail::DdimKernel<Real>{detail::PredictX0(s.process, s.step, clip), std::sqrt(before),
                                 std::sqrt(left), sigma, draws_noise() && s.step > 0, s.output,
                                 s.noise, s.x, s.predicted_x0});
  }
};

}  // namespace dashi::diffusion
