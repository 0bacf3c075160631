// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "train_run_of.hpp"

namespace cli {

dashi::ExitStatus train_bf16(Session& session, TrainRun& run) {
  return TrainRunOf<dashi::precision::Bf16Mixed, false>(session, run).run();
}

}  // namespace cli
