// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: MergeStrategy: declare static constexpr dashi::merging::MergeTraits traits
#include <dashi/merging/concept.hpp>

struct Median {
  static constexpr std::string_view name = "median";
  void merge(dashi::merging::MergeInput const&, std::span<double>) const;
};
static_assert(dashi::merging::require_merge_strategy<Median>());
