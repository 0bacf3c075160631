// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/merging/concept.hpp>

#include <span>
#include <string_view>
#include <vector>

namespace dashi::merging {

/// The plain mean (1/n) Σ θ_i: the uniform soup of Diffusion Soup, arXiv 2406.08431.
struct Uniform {
  static constexpr MergeTraits traits{.form = MergeForm::linear};
  static constexpr std::string_view name = "uniform";

  std::vector<DecimalWeight> weights(std::span<MergeMember const> members) const {
    return std::vector<DecimalWeight>(members.size());
  }
};
static_assert(MergeStrategy<Uniform>);

}  // namespace dashi::merging
