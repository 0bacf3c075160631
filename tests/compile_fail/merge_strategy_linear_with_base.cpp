// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: MergeStrategy: a linear strategy has no base, and only a linear strategy selects
#include <dashi/merging/concept.hpp>

struct Halves {
  static constexpr dashi::merging::MergeTraits traits{.needs_base = true};
  static constexpr std::string_view name = "halves";
  std::vector<dashi::merging::DecimalWeight> weights(
      std::span<dashi::merging::MergeMember const>) const;
};
static_assert(dashi::merging::require_merge_strategy<Halves>());
