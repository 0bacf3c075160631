// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>

#include <cmath>
#include <cstdint>

namespace dashi::training {

/// Dynamic loss scaling (Micikevicius et al., arXiv 1710.03740, section 3.2): gradients of
/// half-precision models are computed times a power of two, which AdamW divides out again.
struct LossScaling {
  bool enabled = false;
  double first = 65536;
  double largest = 16777216;
  Index growth_interval = 2000;  ///< steps without overflow until it doubles
  Index give_up_after = 20;      ///< steps skipped in a row
};

/// What a resumed training needs of the scaler.
struct LossScalerState {
  double scale = 1;
  std::int64_t good = 0;            ///< steps since the last change
  std::int64_t skipped = 0;         ///< steps in all
  std::int64_t skipped_in_row = 0;  ///< steps up to now

  friend bool operator==(LossScalerState const&, LossScalerState const&) = default;
};

/// The rule by which the scale moves; 1 for ever where scaling is off.
class LossScaler {
public:
  explicit LossScaler(LossScaling const& options = {}) : options_(options) {
    int exponent = 0;
    DASHI_EXPECTS(
        !options.enabled || (options.first > 0 && std::frexp(options.first, &exponent) == 0.5),
        "the first loss scale must be a power of two");
    DASHI_EXPECTS(options.growth_interval > 0 && options.give_up_after > 0,
                  "loss scaling counts steps");
    state_.scale = options.enabled ? options.first : 1;
  }

  bool enabled() const noexcept { return options_.enabled; }
  double scale() const noexcept { return state_.scale; }
  LossScalerState const& state() const noexcept { return state_; }
  void restore(LossScalerState const& state) { state_ = state; }
  bool gives_up() const noexcept { return state_.skipped_in_row >= options_.give_up_after; }

  /// After a step whose gradients were finite, or were not and which was skipped.
  void update(bool finite) {
    if (!options_.enabled) {
      return;
    }
    if (!finite) {
      state_.scale *= 0.5;
      state_.good = 0;
      ++state_.skipped;
      ++state_.skipped_in_row;
      return;
    }
    state_.skipped_in_row = 0;
    if (++state_.good >= options_.growth_interval) {
      state_.good = 0;
      state_.scale = std::fmin(2 * state_.scale, options_.largest);
    }
  }

private:
  LossScaling options_;
  LossScalerState state_;
};

}  // namespace dashi::training
