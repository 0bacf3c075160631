// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>

#include <concepts>
#include <cstdint>

namespace dashi::diffusion {

/// Where the samples of a batch come from.
enum class BatchPart : std::int32_t {
  target,  ///< the data that is trained on
  source,  ///< a bank sampled from the pre-trained model before fine-tuning
};

/// The parts of TimestepPolicy; require_timestep_policy() says which one a type lacks.
template <class P>
concept DrawsTimesteps = requires(P const& policy, BatchPart part, Index step, Index steps) {
  { policy.frequency(part, step, steps) } -> std::same_as<double>;
};
template <class P>
concept WeighsTimesteps = requires(P const& policy, BatchPart part, Index step, Index steps) {
  { policy.loss_weight(part, step, steps) } -> std::same_as<double>;
};
template <class P>
concept SplitsBatch = requires(P const& policy, Index batch) {
  { policy.source_samples(batch) } -> std::same_as<Index>;
};

/// How a training step divides its batch between new and old data, and how noisy it makes each
/// part. A policy is a type with
///
///     double frequency(BatchPart, Index step, Index steps) const;     of drawing this step out of
///                                                     `steps`, relative to the others; not
///                                                     negative
///     double loss_weight(BatchPart, Index step, Index steps) const;   factor of a sample's loss;
///                                   the loss of a batch is the mean over the target samples plus
///                                   the mean over the source samples
///     Index source_samples(Index batch) const;        how many of a batch come from the source
///
/// Asked once, for tables, on the host. Shipped: UniformSteps, ChainOfForgetting.
template <class P>
concept TimestepPolicy = DrawsTimesteps<P> && WeighsTimesteps<P> && SplitsBatch<P>;

/// Says in a sentence what keeps P from being a TimestepPolicy.
template <class P>
consteval bool require_timestep_policy() {
  static_assert(
      DrawsTimesteps<P>,
      "TimestepPolicy: declare double frequency(dashi::diffusion::BatchPart, dashi::Index "
      "step, dashi::Index steps) const, how often a step is drawn relative to the others");
  static_assert(WeighsTimesteps<P>,
                "TimestepPolicy: declare double loss_weight(dashi::diffusion::BatchPart, "
                "dashi::Index step, dashi::Index steps) const, the factor of a sample's loss; "
                "return 1.0 for a plain mean");
  static_assert(SplitsBatch<P>,
                "TimestepPolicy: declare dashi::Index source_samples(dashi::Index batch) const, "
                "how many samples of a batch come from the source bank; return 0 for none");
  return true;
}

}  // namespace dashi::diffusion
