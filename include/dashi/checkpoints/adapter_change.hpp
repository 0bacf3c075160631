// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/adapter_delta.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/io/adapters/adapter_form.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <variant>
#include <vector>

namespace dashi::checkpoints {

/// What a module with a strength makes of rows of its weight and elements of its bias, in double.
///
/// With W1 what the module makes of a weight W at strength 1, strength s makes W + s (W1 - W): for
/// a change that is added, s times the change; of replacements, gammas and DoRA a straight line
/// from the base, so that strength 0 is the base for every form. W1, in this order: the replacement
/// if there is one; plus scale times the form; rows times gamma; DoRA's magnitude (W + change) / |W
/// + change|. Biases alike: the trained bias, or the bias plus its difference, times gamma.
///
/// Thread-safe but for set_column_norms().
class AdapterChange {
public:
  AdapterChange(io::AdapterModule const& module, double strength) : strength_(strength) {
    bool const plain = !module.dora && module.replacement.empty();
    delta_ = AdapterDelta(module, plain ? strength : 1);
    if (auto const* const scale = std::get_if<io::ScaleForm>(&module.form)) {
      gamma_ = detail::finite_values(scale->gamma);
    }
    if (module.dora) {
      magnitude_ = detail::finite_values(module.dora->magnitude);
      per_input_ = module.dora->per_input;
    }
    if (!module.replacement.empty()) {
      auto const& shape = module.replacement.shape();
      replacement_ = AdapterMatrix::stored(module.replacement, shape.empty() ? 1 : shape.front());
    }
    if (!module.bias.empty()) {
      bias_ = detail::finite_values(module.bias);
      bias_is_difference_ = module.bias_is_difference;
    }
  }

  /// Whether the module changes its weight, or its bias.
  static bool changes_weight(io::AdapterModule const& module) {
    return !std::holds_alternative<io::NoForm>(module.form) || module.dora ||
           !module.replacement.empty();
  }
  static bool changes_bias(io::AdapterModule const& module) {
    return std::holds_alternative<io::ScaleForm>(module.form) || !module.bias.empty();
  }

  /// Whether apply() wants the norms of the columns, over all rows of the module: see
  /// add_column_squares().
  bool needs_column_norms() const noexcept { return per_input_ && column_factors_.empty(); }

  /// Adds the squares of the columns of W + change, rows [first, first + count), to `sums` [cols].
  /// `values`, the rows of W, are overwritten.
  void add_column_squares(std::size_t first, std::size_t count, std::span<double> values,
                          std::span<double> sums) const {
    add_change(first, count, values);
    for (std::size_t i = 0; i < values.size(); ++i) {
      sums[i % sums.size()] += values[i] * values[i];
    }
  }
  /// The sums over all rows; where the magnitude has one element for several columns (taps of a
  /// convolution) their norm is taken together.
  void set_column_norms(std::span<double const> sums) {
    DASHI_EXPECTS(!magnitude_.empty() && sums.size() % magnitude_.size() == 0,
                  "a magnitude for every input");
    std::size_t const taps = sums.size() / magnitude_.size();
    column_factors_.resize(sums.size());
    for (std::size_t c = 0; c < magnitude_.size(); ++c) {
      double sum = 0;
      for (std::size_t t = 0; t < taps; ++t) {
        sum += sums[c * taps + t];
      }
      double const factor = sum == 0 ? 1 : magnitude_[c] / std::sqrt(sum);
      std::fill_n(column_factors_.begin() + static_cast<std::ptrdiff_t>(c * taps), taps, factor);
    }
  }

  /// Changes rows [first, first + count) of the module's weight, `values` [count, cols], in place.
  void apply(std::size_t first, std::size_t count, std::span<double> values) const {
    if (magnitude_.empty() && replacement_.rows() == 0) {  // strength is in the change already
      if (!delta_.empty()) {
        delta_.add(first, count, values);
      }
      scale_rows(first, count, values, strength_);
      return;
    }
    std::vector<double> const before(values.begin(), values.end());
    add_change(first, count, values);
    scale_to_magnitude(first, count, values);
    if (strength_ != 1) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = before[i] + strength_ * (values[i] - before[i]);
      }
    }
  }

  /// Elements [first, first + values.size()) of the module's bias, in place.
  void apply_to_bias(std::size_t first, std::span<double> values) const {
    for (std::size_t i = 0; i < values.size(); ++i) {
      double after = values[i];
      if (!bias_.empty()) {
        after = bias_is_difference_ ? after + bias_[first + i] : bias_[first + i];
      }
      if (!gamma_.empty()) {
        after *= gamma_[first + i];
      }
      values[i] = strength_ == 1 ? after : values[i] + strength_ * (after - values[i]);
    }
  }

  /// Rows and columns of the weight that the module wants; zero where any will do.
  std::size_t rows() const noexcept {
    return !delta_.empty()                      ? delta_.rows()
           : replacement_.rows() > 0            ? replacement_.rows()
           : !gamma_.empty()                    ? gamma_.size()
           : !magnitude_.empty() && !per_input_ ? magnitude_.size()
                                                : bias_.size();
  }
  std::size_t cols() const noexcept {
    return !delta_.empty() ? delta_.cols() : replacement_.cols();
  }
  std::uint64_t memory() const noexcept {
    return delta_.memory() + replacement_.memory() +
           (gamma_.size() + magnitude_.size() + bias_.size() + column_factors_.size()) *
               sizeof(double);
  }

private:
  void add_change(std::size_t first, std::size_t count, std::span<double> values) const {
    if (replacement_.rows() > 0) {
      replacement_.read(first, count, values.data());
    }
    if (!delta_.empty()) {
      delta_.add(first, count, values);
    }
    scale_rows(first, count, values, 1);
  }

  void scale_rows(std::size_t first, std::size_t count, std::span<double> values,
                  double strength) const {
    std::size_t const cols = count == 0 ? 0 : values.size() / count;
    for (std::size_t r = 0; r < count && !gamma_.empty(); ++r) {
      double const factor = 1 + strength * (gamma_[first + r] - 1);
      for (double& value : values.subspan(r * cols, cols)) {
        value *= factor;
      }
    }
  }

  void scale_to_magnitude(std::size_t first, std::size_t count, std::span<double> values) const {
    if (magnitude_.empty()) {
      return;
    }
    std::size_t const cols = count == 0 ? 0 : values.size() / count;
    if (per_input_) {
      DASHI_EXPECTS(column_factors_.size() == cols, "the norms of the columns come first");
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] *= column_factors_[i % cols];
      }
      return;
    }
    for (std::size_t r = 0; r < count; ++r) {
      std::span const row = values.subspan(r * cols, cols);
      double sum = 0;
      for (double const value : row) {
        sum += value * value;
      }
      double const factor = sum == 0 ? 1 : magnitude_[first + r] / std::sqrt(sum);
      for (double& value : row) {
        value *= factor;
      }
    }
  }

  double strength_ = 1;
  AdapterDelta delta_;  // times the strength where it is merely added
  std::vector<double> gamma_, magnitude_, bias_, column_factors_;
  AdapterMatrix replacement_;
  bool per_input_ = false;
  bool bias_is_difference_ = false;
};

}  // namespace dashi::checkpoints
