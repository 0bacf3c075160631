// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "support/device_copy.hpp"
#include "support/test_scalars.hpp"
#include "unit/kernels_blocks/grid.hpp"

#include <dashi/diffusion/objective.hpp>

#include <cstdint>
#include <vector>

namespace dashi::test {

/// A batch for an objective in Exec's memory: outputs of scale 1, images within [-1, 1], two values
/// of the first sample at the ends of the decoder's levels.
template <class T, class X, class Exec>
struct ObjectiveProblem {
  Index size;
  bool learned_range;
  Index gap;
  std::vector<std::int64_t> steps;
  Index samples = static_cast<Index>(steps.size());
  Index cols = learned_range ? 2 * size : size;
  Grid<T, Exec> output = Grid<T, Exec>::random(samples, cols, 1, 1, gap);
  Grid<X, Exec> x0 = images();
  Grid<X, Exec> noise = Grid<X, Exec>::random(samples, size, 3, 1, gap);
  Grid<T, Exec> gradient{samples, cols, gap};
  Grid<double, Exec> losses{3, samples};
  std::vector<double> weights = falling_weights();
  Kokkos::View<std::int64_t*, typename Exec::memory_space> t = device_copy<Exec>(steps);
  Kokkos::View<double*, typename Exec::memory_space> weight = device_copy<Exec>(weights);

  VectorOf<double, Exec> row(Index i) const {
    return {losses.vector().data() + i * samples, static_cast<std::size_t>(samples)};
  }
  diffusion::Losses<Exec> results() const { return {row(0), row(1), row(2)}; }
  void download() {
    gradient.download();
    losses.download();
  }

private:
  Grid<X, Exec> images() const {
    auto out = Grid<X, Exec>::random(samples, size, 2, 0.5, gap);
    for (Index i = 0; i < samples; ++i) {
      for (Index j = 0; j < size; ++j) {
        out.set(i, j, std::clamp(out(i, j), -1.0, 1.0));
      }
    }
    if (samples > 0 && size > 1) {
      out.set(0, 0, -1);
      out.set(0, 1, 1);
    }
    out.upload();
    return out;
  }
  std::vector<double> falling_weights() const {
    std::vector<double> out;
    for (Index i = 0; i < samples; ++i) {
      out.push_back(0.5 / static_cast<double>(i + 1));
    }
    return out;
  }
};

}  // namespace dashi::test
