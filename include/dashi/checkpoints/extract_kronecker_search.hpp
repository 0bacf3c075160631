// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/extract_kronecker.hpp>
#include <dashi/io/for_each_on_threads.hpp>
#include <dashi/io/progress.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <vector>

namespace dashi::checkpoints {

/// Every split of a matrix [rows, channels * taps] into factors [p1, q1] and [rows / p1, channels /
/// q1 * taps] that have fewer numbers together than the matrix. By p1, then q1.
inline std::vector<KroneckerSplit> kronecker_splits(std::size_t rows, std::size_t channels,
                                                    std::size_t taps) {
  std::vector<KroneckerSplit> out;
  for (std::size_t p1 = 1; p1 <= rows; ++p1) {
    for (std::size_t q1 = 1; rows % p1 == 0 && q1 <= channels; ++q1) {
      KroneckerSplit const split{p1, q1, rows / p1, channels / q1 * taps};
      if (channels % q1 == 0 && split.parameters() < rows * channels * taps) {
        out.push_back(split);
      }
    }
  }
  return out;
}

/// The split whose nearest product keeps `least`, a share of the squares of the matrix, with the
/// fewest numbers; least 0: the one that keeps the largest share for each of its numbers. Nothing
/// where none keeps enough. Shares are those after a few steps of the power method, below the ones
/// that it would end at. The same on any number of threads. `progress` advances by `bytes` in all.
inline std::optional<KroneckerSplit> best_kronecker_split(
    std::span<double const> matrix, std::size_t rows, std::size_t channels, double least,
    std::size_t threads, io::Progress& progress = io::no_progress(), std::uint64_t bytes = 0) {
  DASHI_EXPECTS(rows > 0 && channels > 0 && matrix.size() % (rows * channels) == 0,
                "a matrix of rows, channels and taps");
  constexpr int steps = 8;
  auto const splits = kronecker_splits(rows, channels, matrix.size() / (rows * channels));
  std::vector<double> shares(splits.size());
  double const all = std::inner_product(matrix.begin(), matrix.end(), matrix.begin(), 0.0);
  if (splits.empty()) {
    progress.advance(bytes);
  }
  std::atomic<std::uint64_t> tried{0};
  io::for_each_on_threads(splits.size(), threads, [&](std::size_t i) {
    double const value = nearest_kronecker(matrix, splits[i], steps).value;
    shares[i] = all == 0 ? 1 : value * value / all;
    std::uint64_t const before = tried++;
    progress.advance(bytes * (before + 1) / splits.size() - bytes * before / splits.size());
  });
  std::optional<std::size_t> best;
  auto const better = [&](std::size_t i) {
    auto const numbers = static_cast<double>(splits[i].parameters());
    auto const fewest = static_cast<double>(splits[*best].parameters());
    if (least > 0) {
      return numbers < fewest || (numbers == fewest && shares[i] > shares[*best]);
    }
    return shares[i] * fewest > shares[*best] * numbers;
  };
  for (std::size_t i = 0; i < splits.size(); ++i) {
    if (shares[i] >= least && (!best || better(i))) {
      best = i;
    }
  }
  return best ? std::optional(splits[*best]) : std::nullopt;
}

}  // namespace dashi::checkpoints
