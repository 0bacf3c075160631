// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>

#include <cstddef>
#include <vector>

namespace dashi::diffusion {

/// Variances on a straight line (Ho et al., arXiv 2006.11239, section 4; DiT's schedule).
struct LinearSchedule {
  double first = 1e-4;  ///< of step 0, at 1000 steps
  double last = 0.02;   ///< of the last step, at 1000 steps

  /// `first` to `last` inclusive, times 1000 / steps, so that any number of steps ends in about the
  /// same noise.
  std::vector<double> betas(Index steps) const {
    DASHI_EXPECTS(steps > 0, "a schedule needs at least one step");
    double const scale = 1000.0 / static_cast<double>(steps);
    std::vector<double> result(static_cast<std::size_t>(steps), scale * first);
    double const gap = steps > 1 ? scale * (last - first) / static_cast<double>(steps - 1) : 0.0;
    for (std::size_t i = 1; i < result.size(); ++i) {
      result[i] = scale * first + static_cast<double>(i) * gap;
    }
    if (steps > 1) {
      result.back() = scale * last;
    }
    return result;
  }
};

}  // namespace dashi::diffusion
