// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: NoiseSchedule: betas must be const
#include <dashi/diffusion/process.hpp>

struct Sigmoid {
  std::vector<double> betas(dashi::Index);
};
dashi::diffusion::Process const process{Sigmoid{}};
