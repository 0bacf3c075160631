// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/merging/concept.hpp>

#include <span>
#include <string_view>
#include <vector>

namespace dashi::merging {

/// The weighted mean Σ w_i θ_i / Σ w_i with the members' own weights; negative ones are allowed, a
/// total that is not positive is a UsageError.
struct Weighted {
  static constexpr MergeTraits traits{.form = MergeForm::linear, .by_tensor = true};
  static constexpr std::string_view name = "linear";

  std::vector<DecimalWeight> weights(std::span<MergeMember const> members) const {
    std::vector<DecimalWeight> out;
    for (MergeMember const& member : members) {
      out.push_back(member.weight);
    }
    return out;
  }
};
static_assert(MergeStrategy<Weighted>);

}  // namespace dashi::merging
