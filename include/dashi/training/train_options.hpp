// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/diffusion/objective.hpp>
#include <dashi/training/data_order.hpp>
#include <dashi/training/learning_rate.hpp>
#include <dashi/training/loss_scaler.hpp>

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

namespace dashi::training {

/// How a model is trained; the defaults are those of DiT (arXiv 2212.09748, section 4), with a
/// batch that a small machine can take.
struct TrainOptions {
  Index batch = 32;      ///< samples of a step, target and source together
  Index accumulate = 1;  ///< micro-batches that a step is cut into; divides the batch
  LearningRate learning_rate;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  double average_decay = 0.9999;  ///< of the moving average of the parameters; 0: no average
  double clip_norm = 0;           ///< largest norm of the gradient; 0: any
  double label_dropout = 0.1;     ///< part of the target samples that take the null label
  bool flip = false;              ///< half of the images mirrored, left to right
  Shuffle shuffle = Shuffle::epochs;
  diffusion::ObjectiveOptions objective;
  LossScaling scaling;
  std::uint64_t seed = 0;

  /// Throws UsageError that names the option.
  void check() const {
    learning_rate.check();
    refuse_unless(batch > 0, "batch", std::to_string(batch), "a positive number");
    refuse_unless(accumulate > 0 && batch % accumulate == 0, "accumulate",
                  std::to_string(accumulate), "a divisor of the batch of " + std::to_string(batch));
    in_unit_range(beta1, "beta1");
    in_unit_range(beta2, "beta2");
    in_unit_range(average_decay, "average_decay");
    not_negative(weight_decay, "weight_decay");
    not_negative(clip_norm, "clip_norm");
    refuse_unless(std::isfinite(epsilon) && epsilon > 0, "epsilon", std::to_string(epsilon),
                  "a positive number");
    refuse_unless(label_dropout >= 0 && label_dropout <= 1, "label_dropout",
                  std::to_string(label_dropout), "at least 0 and at most 1");
  }

private:
  static void refuse_unless(bool right, char const* option, std::string found,
                            std::string expected) {
    if (!right) {
      throw UsageError({.code = "train-option",
                        .file = {},
                        .place = option,
                        .found = std::move(found),
                        .expected = std::move(expected),
                        .advice = {}});
    }
  }
  static void in_unit_range(double value, char const* option) {
    refuse_unless(value >= 0 && value < 1, option, std::to_string(value), "at least 0 and below 1");
  }
  static void not_negative(double value, char const* option) {
    refuse_unless(std::isfinite(value) && value >= 0, option, std::to_string(value),
                  "0 or a positive number");
  }
};

}  // namespace dashi::training
