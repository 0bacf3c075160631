// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>
#include <dashi/core/tensor.hpp>

#include <cstdint>

namespace dashi::kernels {

/// Constants of an update; the defaults are those of DiT's training (learning rate 1e-4, no decay).
struct AdamWOptions {
  double learning_rate = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  double average_decay = 0.9999;  ///< of the moving average of the parameters
  double gradient_scale = 1;      ///< multiplies gradients first: loss scaling, clipping, averaging
};

/// One tensor and its state, flat. Master: double or float; Gradient and Shadow: any storage type.
template <class Master, class Gradient, class Shadow, class Exec>
struct AdamWTensor {
  VectorOf<Master, Exec> parameter;
  VectorOf<Gradient const, Exec> gradient;
  VectorOf<Master, Exec> first_moment;   ///< 0 at the start
  VectorOf<Master, Exec> second_moment;  ///< 0 at the start
  VectorOf<Master, Exec> average;  ///< moving average of the parameter, its copy at the start;
                                   ///< empty for none
  VectorOf<Shadow, Exec> shadow;   ///< the parameter rounded for use in a model; empty for none
};

}  // namespace dashi::kernels
