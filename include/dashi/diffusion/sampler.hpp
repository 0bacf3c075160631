// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/diffusion/process.hpp>
#include <dashi/diffusion/spacing.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <concepts>
#include <string>

namespace dashi::diffusion {

/// One step of sampling, from x_t to x of the step before in the (respaced) process.
template <class Real, class Exec>
struct SamplerStep {
  Process const& process;
  Index step = 0;                            ///< steps() - 1 first, 0 last
  kernels::RowsOf<Real const, Exec> output;  ///< the guided output, [samples, size or 2 size]
  kernels::RowsOf<Real const, Exec> noise;   ///< [samples, size]; undefined at step 0
  kernels::RowsOf<Real, Exec> x;             ///< [samples, size], changed in place
  kernels::RowsOf<Real, Exec> predicted_x0;  ///< [samples, size], written
};

/// The parts of Sampler; require_sampler() says which one a type lacks.
template <class S>
concept SpacesSteps = requires(S const& sampler) {
  { sampler.spacing() } -> std::same_as<Spacing>;
};
template <class S>
concept SaysDrawsNoise = requires(S const& sampler) {
  { sampler.draws_noise() } -> std::same_as<bool>;
};
template <class S, class Real, class Exec, class Provider>
concept TakesSteps = requires(S const& sampler, Context<Exec, Provider>& ctx,
                              SamplerStep<Real, Exec> const& step) {
  { sampler.step(ctx, step) } -> std::same_as<void>;
};

/// How samples are made from a network that predicts noise. A sampler is a type with
///
///     Spacing spacing() const;                         the steps of a process that it visits
///     bool draws_noise() const;                        false: SamplerStep::noise is never read
///     void step(Context<Exec, Provider>&, SamplerStep<Real, Exec> const&) const;
///
/// step launches on the context; Real is float, or double for networks in double. Shipped: Ddpm,
/// Ddim.
template <class S, class Real = float, class Exec = Kokkos::DefaultExecutionSpace,
          class Provider = DefaultProviderOf<Exec>>
concept Sampler = SpacesSteps<S> && SaysDrawsNoise<S> && TakesSteps<S, Real, Exec, Provider>;

/// Says in a sentence what keeps S from being a Sampler.
template <class S, class Real = float, class Exec = Kokkos::DefaultExecutionSpace,
          class Provider = DefaultProviderOf<Exec>>
consteval bool require_sampler() {
  static_assert(
      SpacesSteps<S>,
      "Sampler: declare dashi::diffusion::Spacing spacing() const, the steps of a process "
      "that the sampler visits");
  static_assert(SaysDrawsNoise<S>,
                "Sampler: declare bool draws_noise() const; return false when step never reads the "
                "noise");
  static_assert(TakesSteps<S, Real, Exec, Provider>,
                "Sampler: declare void step(dashi::Context<Exec, Provider>&, "
                "dashi::diffusion::SamplerStep<Real, Exec> const&) const, for Real = float and "
                "double");
  return true;
}

namespace detail {

template <class Real, class Exec>
void expect_consistent(SamplerStep<Real, Exec> const& s, bool learned, bool reads_noise,
                       std::string const& who) {
  DASHI_EXPECTS(s.output.cols == 2 * s.x.cols || (!learned && s.output.cols == s.x.cols),
                who + ": the output has " + std::to_string(s.output.cols) + " columns for " +
                    std::to_string(s.x.cols) + " of x" +
                    (learned ? "; a learned variance needs twice as many" : ""));
  kernels::detail::expect_extents(s.output, ("output of " + who).c_str(), s.x.rows, s.output.cols);
  kernels::detail::expect_extents(s.predicted_x0, ("predicted_x0 of " + who).c_str(), s.x.rows,
                                  s.x.cols);
  if (reads_noise && s.step > 0) {
    kernels::detail::expect_extents(s.noise, ("noise of " + who).c_str(), s.x.rows, s.x.cols);
  }
}

}  // namespace detail

}  // namespace dashi::diffusion
