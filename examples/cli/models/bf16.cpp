// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What trains and what samples share most of their kernels: one file a precision.
#include "dense_runner.hpp"
#include "gated_runner.hpp"
#include "train_run_of.hpp"
#include "trained_dense.hpp"
#include "trained_factors.hpp"

namespace cli {

dashi::ExitStatus train_bf16(Session& session, TrainRun& run) {
  return TrainRunOf<TrainedDense<dashi::precision::Bf16Mixed, Kokkos::DefaultExecutionSpace>>(
             session, run)
      .run();
}

dashi::ExitStatus train_bf16_shards(Session& session, TrainRun& run) {
  return TrainRunOf<TrainedDense<dashi::precision::Bf16Mixed, Kokkos::DefaultHostExecutionSpace>,
                    true>(session, run)
      .run();
}

dashi::ExitStatus train_bf16_factors(Session& session, TrainRun& run) {
  return TrainRunOf<TrainedFactors<dashi::precision::Bf16Mixed, Kokkos::DefaultExecutionSpace>>(
             session, run)
      .run();
}

std::unique_ptr<DitRunner> make_bf16_runner(dashi::DitConfig const& config,
                                            SharedAdapters adapters) {
  return std::make_unique<DenseRunner<dashi::precision::Bf16Mixed>>(config, std::move(adapters));
}

std::unique_ptr<DitRunner> make_bf16_gated_runner(dashi::DitConfig const& config,
                                                  GatedWeights weights) {
  return std::make_unique<GatedRunner<dashi::precision::Bf16Mixed>>(config, std::move(weights));
}

}  // namespace cli
