// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: MergeStrategy: a linear strategy must declare
// std::vector<dashi::merging::DecimalWeight> weights
#include <dashi/merging/merge.hpp>

struct Halves {
  static constexpr dashi::merging::MergeTraits traits{.form = dashi::merging::MergeForm::linear};
  static constexpr std::string_view name = "halves";
  std::vector<double> weights(std::span<dashi::merging::MergeMember const>) const;
};
void use() { dashi::merging::merge(Halves{}, {}, "out.safetensors"); }
