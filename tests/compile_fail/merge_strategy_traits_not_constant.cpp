// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: MergeStrategy: traits must be static constexpr and of type
// dashi::merging::MergeTraits
#include <dashi/merging/concept.hpp>

struct Median {
  static inline dashi::merging::MergeTraits traits{.form = dashi::merging::MergeForm::element};
  static constexpr std::string_view name = "median";
  void merge(dashi::merging::MergeInput const&, std::span<double>) const;
};
static_assert(dashi::merging::require_merge_strategy<Median>());
