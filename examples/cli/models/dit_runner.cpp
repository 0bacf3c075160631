// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "dit_runner.hpp"

namespace cli {

std::unique_ptr<DitRunner> make_dit_runner(std::string const& precision,
                                           dashi::DitConfig const& config) {
  return precision == "bf16" ? make_bf16_runner(config) : make_float32_runner(config);
}

}  // namespace cli
