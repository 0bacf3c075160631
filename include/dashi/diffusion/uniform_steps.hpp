// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>
#include <dashi/diffusion/timestep_policy.hpp>

namespace dashi::diffusion {

/// Every step equally often and no source bank: plain training and fine-tuning.
struct UniformSteps {
  double frequency(BatchPart, Index, Index) const { return 1.0; }
  double loss_weight(BatchPart, Index, Index) const { return 1.0; }
  Index source_samples(Index) const { return 0; }
};

}  // namespace dashi::diffusion
