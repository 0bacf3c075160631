// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/merging/decimal_weight.hpp>
#include <dashi/merging/mean_options.hpp>
#include <dashi/merging/weight_rule.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace cli {

/// One model of a merge, and its weights.
struct RecipeModel {
  std::string path;
  dashi::merging::DecimalWeight weight{};
  std::vector<dashi::merging::WeightRule> rules{};  ///< before `weight`
};

/// What `dashi merge` is to do, from its options or from a recipe.
struct MergeRecipe {
  std::string method;
  std::vector<RecipeModel> models{};
  std::string base{};          ///< empty: none
  std::string dtype = "same";  ///< of the output
  std::string on_missing = "error";
};

/// The spellings of dashi::merging::OnMissing, and the policy of one of them.
std::vector<std::string> on_missing_names();
dashi::merging::OnMissing on_missing_argument(std::string const& text);

/// Reads a recipe with the keys of mergekit's files as far as they speak of a weighted mean: models
/// with a model and parameters.weight, a number or a list of {filter, value}; merge_method,
/// parameters, base_model, dtype, out_dtype; and on_missing, which is ours. `on_missing`, where it
/// is not empty, overrules that of the file. Throws ConfigurationError with the line.
MergeRecipe read_merge_recipe(std::filesystem::path const& file, std::string const& on_missing);

}  // namespace cli
