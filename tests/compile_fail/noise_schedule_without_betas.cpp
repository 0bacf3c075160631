// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: NoiseSchedule: declare std::vector<double> betas
#include <dashi/diffusion/process.hpp>

struct Sigmoid {
  std::vector<double> beta(dashi::Index) const;
};
dashi::diffusion::Process const process{Sigmoid{}};
