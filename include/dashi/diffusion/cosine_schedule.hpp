// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

namespace dashi::diffusion {

/// Squared cosine of the cumulative product (Nichol and Dhariwal, arXiv 2102.09672, equation 17):
/// f(t) = cos^2((t / T + offset) / (1 + offset) pi / 2), beta_t = 1 - f(t + 1) / f(t).
struct CosineSchedule {
  double offset = 0.008;
  double largest = 0.999;  ///< betas are cut off here: the last one would be 1

  std::vector<double> betas(Index steps) const {
    DASHI_EXPECTS(steps > 0, "a schedule needs at least one step");
    std::vector<double> result(static_cast<std::size_t>(steps));
    double before = level(0.0);
    for (std::size_t i = 0; i < result.size(); ++i) {
      double const after = level(static_cast<double>(i + 1) / static_cast<double>(steps));
      result[i] = std::min(1.0 - after / before, largest);
      before = after;
    }
    return result;
  }

private:
  double level(double time) const {
    double const c = std::cos((time + offset) / (1.0 + offset) * std::numbers::pi / 2.0);
    return c * c;
  }
};

}  // namespace dashi::diffusion
