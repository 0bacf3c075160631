// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>

#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace cli {

/// The process that a model was trained on.
struct ProcessOptions {
  std::string schedule = "linear";  ///< or "cosine"
  dashi::Index steps = 1000;
};

/// How samples are drawn.
struct SamplingOptions {
  ProcessOptions process;
  std::string sampler = "ddim";  ///< or "ddpm"
  dashi::Index steps = 50;
  double eta = 0;       ///< of DDIM
  bool clip = false;    ///< the predicted x_0 to [-1, 1]
  bool learned = true;  ///< DDPM's variance by the output, where it has one
  double guidance = 4;
  dashi::Index guidance_channels = 3;  ///< 0: all
  std::int64_t null_label = 0;
  std::uint64_t seed = 1;
};

/// Sees (step, x, predicted x_0) of a batch after a step: [samples, channels * height * width], on
/// the host. `wants` says before which steps' numbers are copied there.
struct SampleWatcher {
  std::function<bool(dashi::Index step)> wants;
  std::function<void(dashi::Index step, std::span<float const> x, std::span<float const> x0)> see;
  std::function<void()> after_step;
};

}  // namespace cli
