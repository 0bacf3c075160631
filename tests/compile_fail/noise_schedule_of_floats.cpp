// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: NoiseSchedule: betas must return std::vector<double>
#include <dashi/diffusion/process.hpp>

struct Sigmoid {
  std::vector<float> betas(dashi::Index) const;
};
dashi::diffusion::Process const process{Sigmoid{}};
