// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <string>

namespace dashi::training {

/// The learning rate as a function of the step, counted from 0: linear from peak / warm_up to peak
/// over the first `warm_up` steps, then constant, or half a cosine from peak to `last` at step
/// `steps` and `last` from there on (Loshchilov and Hutter, arXiv 1608.03983, equation 5).
struct LearningRate {
  enum class Shape : unsigned char { constant, cosine };
  Shape shape = Shape::constant;
  double peak = 1e-4;  ///< DiT's
  Index warm_up = 0;
  Index steps = 0;  ///< of the whole training; for the cosine
  double last = 0;  ///< for the cosine

  static LearningRate constant(double peak) { return {Shape::constant, peak}; }
  static LearningRate cosine(double peak, Index steps, double last = 0) {
    return {Shape::cosine, peak, 0, steps, last};
  }
  LearningRate warmed_up(Index over) const {
    LearningRate result = *this;
    result.warm_up = over;
    return result;
  }

  double at(Index step) const {
    if (step < warm_up) {
      return peak * static_cast<double>(step + 1) / static_cast<double>(warm_up);
    }
    if (shape == Shape::constant) {
      return peak;
    }
    constexpr double pi = 3.14159265358979323846;
    double const done =
        std::min(1.0, static_cast<double>(step - warm_up) / static_cast<double>(steps - warm_up));
    return last + 0.5 * (peak - last) * (1 + std::cos(pi * done));
  }

  /// Throws UsageError for rates that train nothing or ascend.
  void check() const {
    refuse_unless(std::isfinite(peak) && peak > 0, "learning rate", std::to_string(peak),
                  "a positive number");
    refuse_unless(warm_up >= 0, "warm-up", std::to_string(warm_up), "a number of steps");
    if (shape == Shape::cosine) {
      refuse_unless(steps > warm_up, "steps of the cosine", std::to_string(steps),
                    "more than the " + std::to_string(warm_up) + " of the warm-up");
      refuse_unless(last >= 0 && last <= peak, "last learning rate", std::to_string(last),
                    "at least 0 and at most the peak");
    }
  }

private:
  static void refuse_unless(bool right, char const* what, std::string const& found,
                            std::string expected) {
    if (!right) {
      throw UsageError({.code = "learning-rate",
                        .file = {},
                        .place = what,
                        .found = found,
                        .expected = std::move(expected),
                        .advice = {}});
    }
  }
};

}  // namespace dashi::training
