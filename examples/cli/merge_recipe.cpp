// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "merge_recipe.hpp"

#include "arguments.hpp"
#include "config_map.hpp"
#include "yaml_tree.hpp"

#include <dashi/core/error.hpp>
#include <dashi/core/expects.hpp>

#include <algorithm>
#include <array>
#include <optional>

namespace cli {

namespace merging = dashi::merging;

namespace {

constexpr std::array policies{merging::OnMissing::error, merging::OnMissing::skip,
                              merging::OnMissing::zero, merging::OnMissing::keep_base};

merging::DecimalWeight weight_of(ConfigMap& map, std::string_view key) {
  if (map.is_list(key)) {
    map.refuse(key, "a list", "one decimal number for all layers, or a list of {filter, value}");
  }
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
  if (parameters.lists_words("weight")) {
    parameters.refuse("weight", "a list of numbers, one for each part of the layers",
                      "one decimal number for all layers, or a list of {filter, value}");
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
  out.rules = own.rules;
  if (own.weight) {
    out.weight = *own.weight;
    return out;
  }
  out.rules.insert(out.rules.end(), common.rules.begin(), common.rules.end());
  if (!out.rules.empty() && !common.weight) {
    parameters.refuse("weight", "without an entry for all tensors", "{value: W} as the last");
  }
  out.weight = common.weight.value_or(merging::DecimalWeight{});
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

std::vector<std::string> on_missing_names() {
  std::vector<std::string> out;
  for (merging::OnMissing const policy : policies) {
    out.emplace_back(merging::name(policy));
  }
  return out;
}

merging::OnMissing on_missing_argument(std::string const& text) {
  auto const at = std::find_if(policies.begin(), policies.end(), [&](merging::OnMissing policy) {
    return text == merging::name(policy);
  });
  DASHI_EXPECTS(at != policies.end(), "only names of on_missing_names()");
  return *at;
}

MergeRecipe read_merge_recipe(std::filesystem::path const& file, std::string const& on_missing) {
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
  std::string const own = map.choice("on_missing", "error", on_missing_names());
  map.finish();
  std::string const keep_base(merging::name(merging::OnMissing::keep_base));
  if (!out.base.empty() && own != keep_base && on_missing != keep_base) {
    map.refuse("base_model", out.base + ", and nothing is taken from it", "on_missing: keep-base");
  }
  out.on_missing = on_missing.empty() ? own : on_missing;
  if (out.on_missing != keep_base) {
    out.base.clear();
  }
  bool const weighted = std::any_of(out.models.begin(), out.models.end(), [](auto const& model) {
    return !model.rules.empty() || model.weight != merging::DecimalWeight{};
  });
  if (weighted && out.method != "linear") {
    map.refuse("merge_method", out.method + ", and models have weights", "linear, or no weights");
  }
  return out;
}

}  // namespace cli
