// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>

#include <cstdint>

namespace dashi::training {

/// A whole batch that was drawn elsewhere, in memory of Exec: targets first, then sources. For
/// comparing steps with those of other trainers.
template <Precision P, class Exec>
struct RecordedBatch {
  using Image = typename P::accumulate;
  MatrixOf<Image const, Exec> x0, noise;      ///< [batch, channels * height * width]
  VectorOf<std::int64_t const, Exec> t;       ///< [batch], steps of the process
  VectorOf<std::int64_t const, Exec> labels;  ///< [batch]
  Matrix<P, Exec> features{};                 ///< of the timesteps; empty: the network's own
};

}  // namespace dashi::training
