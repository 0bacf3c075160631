// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: Sampler: declare void step
#include <dashi/diffusion/sample.hpp>

struct Euler {
  dashi::diffusion::Spacing spacing() const;
  bool draws_noise() const;
  template <class Real, class Exec, class Provider>
  void step(dashi::Context<Exec, Provider>&, dashi::diffusion::SamplerStep<Real, Exec> const&);
};
static_assert(dashi::diffusion::require_sampler<Euler>());
