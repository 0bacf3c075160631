// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: TimestepPolicy: declare double frequency
#include <dashi/diffusion/timestep_distribution.hpp>

using dashi::Index;
using dashi::diffusion::BatchPart;
struct Policy {
  double frequency(Index, Index) const;
  double loss_weight(BatchPart, Index, Index) const;
  Index source_samples(Index) const;
};
static_assert(dashi::diffusion::require_timestep_policy<Policy>());
