// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: Sampler: declare dashi::diffusion::Spacing spacing
#include <dashi/diffusion/sample.hpp>

struct Euler {
  dashi::Index steps = 10;
  bool draws_noise() const;
  template <class Real, class Exec, class Provider>
  void step(dashi::Context<Exec, Provider>&,
            dashi::diffusion::SamplerStep<Real, Exec> const&) const;
};
static_assert(dashi::diffusion::require_sampler<Euler>());
