// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>

namespace dashi::training {

/// What one step did.
struct Metrics {
  Index step = 0;          ///< counted from 1
  double loss = 0;         ///< that was minimised: mean over target plus weighted mean over source
  double mse = 0;          ///< mean squared error of the noise, mean over the target samples
  double vb = 0;           ///< variational term, mean over the target samples; bits
  double source_loss = 0;  ///< mean over the source samples, without the policy's weight
  double gradient_norm = 0;  ///< of all trained parameters together, before clipping
  double learning_rate = 0;
  Index images = 0;    ///< samples of the batch, both parts
  double seconds = 0;  ///< wall clock
  double loss_scale = 1;
  bool skipped = false;  ///< gradients overflowed: nothing was changed but the loss scale
};

}  // namespace dashi::training
