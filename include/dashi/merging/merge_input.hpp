// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace dashi::merging {

/// The same part of one tensor from all members, as a strategy sees it. Values are double, which
/// holds F16, BF16, F32 and F64 exactly.
class MergeInput {
public:
  MergeInput(std::string const& tensor, std::vector<std::uint64_t> const& shape,
             std::uint64_t first, std::span<std::span<double const> const> members,
             std::span<double const> weights, std::span<double const> base)
      : tensor_(&tensor),
        shape_(&shape),
        first_(first),
        members_(members),
        weights_(weights),
        base_(base) {}

  std::string const& tensor() const noexcept { return *tensor_; }               ///< its name
  std::vector<std::uint64_t> const& shape() const noexcept { return *shape_; }  ///< of all of it
  std::uint64_t first() const noexcept {
    return first_;
  }  ///< index of the first value in the tensor

  std::size_t members() const noexcept { return members_.size(); }
  std::span<double const> member(std::size_t i) const { return members_[i]; }
  double weight(std::size_t i) const { return weights_[i]; }  ///< nearest to the decimal weight
  /// The base's values; empty unless the traits ask for it.
  std::span<double const> base() const noexcept { return base_; }

private:
  std::string const* tensor_;
  std::vector<std::uint64_t> const* shape_;
  std::uint64_t first_;
  std::span<std::span<double const> const> members_;
  std::span<double const> weights_;
  std::span<double const> base_;
};

}  // namespace dashi::merging
