// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: TimestepPolicy: declare dashi::Index source_samples
#include <dashi/diffusion/timestep_distribution.hpp>

using dashi::Index;
using dashi::diffusion::BatchPart;
struct Policy {
  double frequency(BatchPart, Index, Index) const;
  double loss_weight(BatchPart, Index, Index) const;
  double source_samples(Index) const;
};
static_assert(dashi::diffusion::require_timestep_policy<Policy>());
