// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace dashi {

/// The fixed sine and cosine table that tells a transformer where a patch stands: [height * width,
/// dim], tokens row by row. DiT, arXiv 2212.09748, as its code has it.
///
/// With f_k = 10000^(-k / (dim / 4)), k = 0 .. dim/4 - 1, a token's row is
///
///     sin(column f), cos(column f), sin(row f), cos(row f)
///
/// in double. Models hold the table as float: round each value once to float, and from there to
/// what a checkpoint stores. An entry costs one sine; the object holds the dim / 4 frequencies.
class SincosPosition {
public:
  /// `dim` is a positive multiple of 4.
  SincosPosition(std::int64_t height, std::int64_t width, std::int64_t dim)
      : height_(height), width_(width) {
    DASHI_EXPECTS(height > 0 && width > 0, "the grid of positions must not be empty");
    DASHI_EXPECTS(dim > 0 && dim % 4 == 0, "the position table needs a multiple of 4 as dim");
    frequencies_.resize(static_cast<std::size_t>(dim / 4));
    for (std::size_t k = 0; k < frequencies_.size(); ++k) {
      double const exponent = static_cast<double>(k) / static_cast<double>(frequencies_.size());
      frequencies_[k] = 1.0 / std::pow(10000.0, exponent);
    }
  }

  std::int64_t tokens() const noexcept { return height_ * width_; }
  std::int64_t dim() const noexcept { return static_cast<std::int64_t>(4 * frequencies_.size()); }

  /// Entry [token, k].
  double operator()(std::int64_t token, std::int64_t k) const {
    std::size_t const quarter = frequencies_.size();
    auto const at = static_cast<std::size_t>(k);
    std::int64_t const place = at < 2 * quarter ? token % width_ : token / width_;
    double const angle = static_cast<double>(place) * frequencies_[at % quarter];
    return at / quarter % 2 == 0 ? std::sin(angle) : std::cos(angle);
  }

private:
  std::int64_t height_;
  std::int64_t width_;
  std::vector<double> frequencies_;
};

/// All of SincosPosition(height, width, dim), row-major.
inline std::vector<double> position_embedding(std::int64_t height, std::int64_t width,
                                              std::int64_t dim) {
  SincosPosition const position(height, width, dim);
  std::vector<double> table;
  table.reserve(static_cast<std::size_t>(position.tokens() * dim));
  for (std::int64_t token = 0; token < position.tokens(); ++token) {
    for (std::int64_t k = 0; k < dim; ++k) {
      table.push_back(position(token, k));
    }
  }
  return table;
}

}  // namespace dashi
