// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: MergeStrategy: a strategy of form element or tensor must declare void
// merge\(dashi::merging::MergeInput const&, std::span<double> out\) const
#include <dashi/merging/concept.hpp>

struct Median {
  static constexpr dashi::merging::MergeTraits traits{.form = dashi::merging::MergeForm::element};
  static constexpr std::string_view name = "median";
  void merge(dashi::merging::MergeInput const&, std::span<double>);
};
static_assert(dashi::merging::require_merge_strategy<Median>());
