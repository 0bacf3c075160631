// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "dit_runner.hpp"

#include <utility>

namespace cli {

std::unique_ptr<DitRunner> make_dit_runner(std::string const& precision,
                                           dashi::DitConfig const& config,
                                           SharedAdapters adapters) {
  return precision == "bf16" ? make_bf16_runner(config, std::move(adapters))
                             : make_float32_runner(config, std::move(adapters));
}

}  // namespace cli
