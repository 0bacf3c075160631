// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "train_run_of.hpp"

namespace cli {

dashi::ExitStatus train_float32(Session& session, TrainRun& run) {
  return TrainRunOf<dashi::precision::Float32, false>(session, run).run();
}

}  // namespace cli
