// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "merge_recipe.hpp"

#include "arguments.hpp"
#include "config_map.hpp"
#include "yaml_tree.hpp"

#include <dashi/core/error.hpp>

#include <algorithm>
#include <optional>

namespace cli {

namespace merging = dashi::merging;

namespace {

merging::DecimalWeight weight_of(ConfigMap& map, std::string_view key) {
  std::string const text = map.text(key);
  try {
    return merging::parse_weight(text);
  } catch (dashi::UsageError const& error) {
    map.refuse(key, "'" + text + "': " + error.diagnosis().found, error.diagnosis().expected);
  }
}

/// The weights that parameters name, if they name any.
struct Weights {
  std::optional<merging::DecimalWeight> weight{};
  std::vector<merging::WeightRule> rules{};
};

Weights read_weights(ConfigMap& parameters) {
  Weights out;
  if (!parameters.has("weight")) {
    return out;
  }
  if (!parameters.is_list("weight")) {
    out.weight = weight_of(parameters, "weight");
    return out;
  }
  for (ConfigMap& rule : parameters.maps("weight")) {
    std::string const filter = rule.text("filter", "*");
    if (!rule.has("value")) {
      rule.refuse("value", "missing", "a weight");
    }
    merging::DecimalWeight const weight = weight_of(rule, "value");
    rule.finish();
    if (out.weight) {
      rule.refuse("filter", "behind the entry for all tensors", "that entry as the last");
    }
    if (filter == "*") {
      out.weight = weight;
    } else {
      out.rules.push_back({filter, weight});
    }
  }
  if (!out.weight) {
    parameters.refuse("weight", "without an entry for all tensors", "{value: W} as the last");
  }
  return out;
}

RecipeModel read_model(ConfigMap map, Weights const& common) {
  RecipeModel out;
  out.path = map.text("model");
  if (out.path.empty()) {
    map.refuse("model", "missing", "the path of a checkpoint");
  }
  ConfigMap parameters = map.map("parameters");
  Weights const own = read_weights(parameters);
  parameters.finish();
  map.finish();
  Weights const& weights = own.weight ? own : common;
  out.weight = weights.weight.value_or(merging::DecimalWeight{});
  out.rules = weights.rules;
  return out;
}

/// A dtype, as `--dtype` takes it.
std::string dtype_of(ConfigMap& map, std::string_view key, std::string fallback) {
  std::string text = map.text(key, std::move(fallback));
  try {
    static_cast<void>(mean_dtype_argument(text));
  } catch (dashi::UsageError const& error) {
    map.refuse(key, "'" + text + "'", error.diagnosis().expected);
  }
  return text;
}

}  // namespace

merging::OnMissing on_missing_argument(std::string const& text) {
  for (merging::OnMissing const policy :
       {merging::OnMissing::skip, merging::OnMissing::zero, merging::OnMissing::keep_base}) {
    if (text == merging::name(policy)) {
      return policy;
    }
  }
  return merging::OnMissing::error;
}

MergeRecipe read_merge_recipe(std::filesystem::path const& file) {
  std::string const name = file.string();
  YamlNode const root = read_yaml(file);
  ConfigMap map(name, "", &root);
  MergeRecipe out;
  out.method = map.choice("merge_method", "", {"linear", "uniform", "greedy"});
  if (out.method.empty()) {
    map.refuse("merge_method", "missing", "linear, uniform or greedy");
  }
  ConfigMap parameters = map.map("parameters");
  if (!parameters.flag("normalize", true)) {
    parameters.refuse("normalize", "false", "true", "a mean divides by the sum of the weights");
  }
  Weights const common = read_weights(parameters);
  parameters.finish();
  for (ConfigMap& model : map.maps("models")) {
    out.models.push_back(read_model(std::move(model), common));
  }
  if (out.models.empty()) {
    map.refuse("models", "missing", "a list of {model: PATH}");
  }
  out.base = map.text("base_model");
  out.dtype = dtype_of(map, "out_dtype", dtype_of(map, "dtype", "same"));
  out.on_missing = map.choice("on_missing", "error", {"error", "skip", "zero", "keep-base"});
  map.finish();
  bool const weighted = std::any_of(out.models.begin(), out.models.end(), [](auto const& model) {
    return !model.rules.empty() || model.weight != merging::DecimalWeight{};
  });
  if (weighted && out.method != "linear") {
    map.refuse("merge_method", out.method + ", and models have weights", "linear, or no weights");
  }
  return out;
}

}  // namespace cli
