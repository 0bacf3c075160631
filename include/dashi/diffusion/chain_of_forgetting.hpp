// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/diffusion/timestep_policy.hpp>

#include <cmath>

namespace dashi::diffusion {

/// Diff-Tuning (arXiv 2406.00773, section 3 and its code): new data mostly at noisy steps, where a
/// pre-trained model transfers least, and samples of the pre-trained model mostly at clean steps,
/// where it transfers best.
///
/// Target: P(k) ~ (k + 1)^exponent; source: P(k) ~ (steps - k)^source_exponent. With exponents of 1
/// this is the paper's psi(t) = t and xi(t) = 1 - t, up to a common factor, by importance sampling.
struct ChainOfForgetting {
  double exponent = 1;
  double source_exponent = -1;  ///< below 0: exponent
  double source_share = 0.2;    ///< of a batch, rounded down: 6 of 32
  double source_weight = 0.1;   ///< of the mean loss of the source part

  double frequency(BatchPart part, Index step, Index steps) const {
    return part == BatchPart::target ? std::pow(static_cast<double>(step + 1), exponent)
                                     : std::pow(static_cast<double>(steps - step),
                                                source_exponent < 0 ? exponent : source_exponent);
  }
  double loss_weight(BatchPart part, Index, Index) const {
    return part == BatchPart::target ? 1.0 : source_weight;
  }
  Index source_samples(Index batch) const {
    DASHI_EXPECTS(source_share >= 0 && source_share < 1,
                  "the source's share of a batch must be at least 0 and below 1");
    return static_cast<Index>(source_share * static_cast<double>(batch));
  }
};

}  // namespace dashi::diffusion
