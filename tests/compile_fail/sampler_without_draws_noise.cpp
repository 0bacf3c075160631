// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: Sampler: declare bool draws_noise
#include <dashi/diffusion/sample.hpp>

struct Euler {
  dashi::diffusion::Spacing spacing() const;
  static constexpr bool draws_noise = false;
  template <class Real, class Exec, class Provider>
  void step(dashi::Context<Exec, Provider>&,
            dashi::diffusion::SamplerStep<Real, Exec> const&) const;
};
static_assert(dashi::diffusion::require_sampler<Euler>());
