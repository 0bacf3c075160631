// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What trains and what samples share most of their kernels: one file a precision.
#include "dit_runner_of.hpp"
#include "train_run_of.hpp"

namespace cli {

dashi::ExitStatus train_bf16(Session& session, TrainRun& run) {
  return TrainRunOf<dashi::precision::Bf16Mixed, false>(session, run).run();
}

std::unique_ptr<DitRunner> make_bf16_runner(dashi::DitConfig const& config,
                                            SharedAdapters adapters) {
  return std::make_unique<DitRunnerOf<dashi::precision::Bf16Mixed>>(config, std::move(adapters));
}

}  // namespace cli
