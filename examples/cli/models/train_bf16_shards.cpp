// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "train_run_of.hpp"
#include "trained_dense.hpp"

namespace cli {

dashi::ExitStatus train_bf16_shards(Session& session, TrainRun& run) {
  return TrainRunOf<TrainedDense<dashi::precision::Bf16Mixed, Kokkos::Serial>, true>(session, run)
      .run();
}

}  // namespace cli
