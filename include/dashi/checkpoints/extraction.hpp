// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/dtype.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dashi::checkpoints {

/// The form that extracted changes of weights get.
enum class ExtractKind : unsigned char { low_rank, kronecker };

struct ExtractOptions {
  ExtractKind kind = ExtractKind::low_rank;
  /// Of low-rank changes, 0 for the smallest that keeps least_energy; of Kronecker products that of
  /// the second factor, 0 to keep it full.
  std::size_t rank = 0;
  std::size_t factor = 8;  ///< rows and columns of the first factor at most; 0: balanced
  bool search = false;     ///< best_kronecker_split() in place of `factor`
  /// Share of a change's squares that its form must keep, 0 to 1: the low-rank form takes no larger
  /// rank than that needs; a Kronecker product that keeps less becomes low-rank, and what keeps
  /// less still is dense.
  double least_energy = 0;
  io::Dtype dtype = io::Dtype::f32;
  std::uint64_t seed = 1;
  std::size_t threads = 1;  ///< of the search
};

/// What became of a tensor that the two checkpoints have otherwise.
struct ExtractedTensor {
  std::string tensor;
  std::string form;  ///< "rank 8", "[4, 8] (x) [16, 12]", "dense"
  std::uint64_t parameters = 0;
  double norm = 0;   ///< of the change
  double error = 0;  ///< of what the adapter makes of it, over that norm

  /// Share of the change's squares that is kept.
  double energy() const noexcept { return 1 - error * error; }
};

struct Extraction {
  io::AdapterFile adapter;
  std::vector<ExtractedTensor> tensors;  ///< by name
  std::size_t equal = 0;                 ///< tensors that do not differ

  double error() const {
    double lost = 0;
    double all = 0;
    for (ExtractedTensor const& tensor : tensors) {
      lost = std::hypot(lost, tensor.error * tensor.norm);
      all = std::hypot(all, tensor.norm);
    }
    return all == 0 ? 0 : lost / all;
  }
};

}  // namespace dashi::checkpoints
