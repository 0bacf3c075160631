// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "train_run_of.hpp"

namespace cli {

dashi::ExitStatus train_float16_shards(Session& session, TrainRun& run) {
  return TrainRunOf<dashi::precision::Fp16Mixed, true>(session, run).run();
}

}  // namespace cli
