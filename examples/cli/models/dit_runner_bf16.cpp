// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "dit_runner_of.hpp"

namespace cli {

std::unique_ptr<DitRunner> make_bf16_runner(dashi::DitConfig const& config) {
  return std::make_unique<DitRunnerOf<dashi::precision::Bf16Mixed>>(config);
}

}  // namespace cli
