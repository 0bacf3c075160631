// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/tensor_info.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dashi::merging {

/// One tensor of the merged checkpoint and where it comes from.
struct PlannedTensor {
  std::string name;
  io::Dtype dtype = io::Dtype::f32;  ///< in the merged checkpoint
  std::vector<std::uint64_t> shape{};
  bool averaged = false;  ///< else copied, and the same in all members that have it
  /// One a source, in their order; owned by checkpoints. Null: that source lacks the tensor, and
  /// MergeOptions::on_missing says what stands for it. At least one is not null.
  std::vector<io::TensorRef const*> sources{};
  std::size_t weights = 0;  ///< index into MergePlan::weights

  /// The first source that has it.
  std::size_t first_source() const {
    auto const at = std::find_if(sources.begin(), sources.end(), [](auto* ref) { return ref; });
    DASHI_EXPECTS(at != sources.end(), "a planned tensor has a source");
    return static_cast<std::size_t>(at - sources.begin());
  }
  io::TensorInfo const& like() const { return sources[first_source()]->info; }
  std::uint64_t elements() const { return like().elements(); }
};

}  // namespace dashi::merging
