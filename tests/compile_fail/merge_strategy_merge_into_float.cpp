// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: MergeStrategy: a strategy of form element or tensor must declare void merge
#include <dashi/merging/merge.hpp>

struct Median {
  static constexpr dashi::merging::MergeTraits traits{.form = dashi::merging::MergeForm::tensor};
  static constexpr std::string_view name = "median";
  void merge(dashi::merging::MergeInput const&, std::span<float>) const;
};
void use() { dashi::merging::merge(Median{}, {}, "out.safetensors"); }
