// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "train_run_of.hpp"
#include "trained_dense.hpp"

namespace cli {

dashi::ExitStatus train_float16(Session& session, TrainRun& run) {
  return TrainRunOf<TrainedDense<dashi::precision::Fp16Mixed, Kokkos::DefaultExecutionSpace>>(
             session, run)
      .run();
}

dashi::ExitStatus train_float16_shards(Session& session, TrainRun& run) {
  return TrainRunOf<TrainedDense<dashi::precision::Fp16Mixed, Kokkos::DefaultHostExecutionSpace>,
                    true>(session, run)
      .run();
}

}  // namespace cli
