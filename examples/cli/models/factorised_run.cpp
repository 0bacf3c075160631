// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "factorised_run.hpp"

#include "train_run.hpp"

#include <dashi/checkpoints/dit_model.hpp>
#include <dashi/checkpoints/svd_plan.hpp>
#include <dashi/checkpoints/svd_read.hpp>

#include <algorithm>
#include <utility>

namespace cli {

using dashi::Index;
namespace checkpoints = dashi::checkpoints;

namespace {

constexpr Index most_components = 1 << 24;

[[noreturn]] void refuse(TrainRun const& run, std::string key, std::string found,
                         std::string expected, std::string advice = {}) {
  throw dashi::ConfigurationError({.code = "config-value",
                                   .file = run.config_path.string(),
                                   .place = std::move(key),
                                   .found = std::move(found),
                                   .expected = std::move(expected),
                                   .advice = std::move(advice)});
}

void take_new(ConfigMap& map, FactorisedConfig& f) {
  auto const components = [&](char const* key, Index least) -> std::optional<Index> {
    return map.has(key) ? std::optional(map.integer(key, 0, least, most_components)) : std::nullopt;
  };
  if (f.method == "fine") {
    f.rank = components("rank", 1);
    return;
  }
  f.learngene = components("learngene", 0);
  f.tailors = components("tailors", 0);
  f.groups = map.integer("groups", 0, 1, most_components);
  if (map.has("group_of_class")) {
    f.group_of_class = map.integers("group_of_class");
  }
}

checkpoints::FactoriseOptions options_of(FactorisedConfig const& f) {
  checkpoints::FactoriseOptions options;
  options.method = f.method == "fine" ? dashi::SvdMethod::fine : dashi::SvdMethod::kind;
  options.learngene = f.learngene;
  options.tailors = f.tailors;
  options.rank = f.rank;
  options.group_of_class = f.group_of_class;
  options.groups = f.groups > 0 ? f.groups
                   : f.group_of_class.empty()
                       ? 2
                       : 1 + *std::max_element(f.group_of_class.begin(), f.group_of_class.end());
  return options;
}

dashi::FactorisedLayout new_layout(TrainRun const& run) {
  FactorisedConfig const& f = run.config.factorised;
  auto const options = options_of(f);
  if (f.method == "kind" && f.group_of_class.empty() && options.groups > run.dit.classes) {
    refuse(run, "factorised.groups", std::to_string(options.groups) + " groups of tailors",
           "1 to " + std::to_string(run.dit.classes) + ", the classes of the model");
  }
  try {
    return checkpoints::factorised_layout(options, checkpoints::dit_configuration(run.dit));
  } catch (dashi::UsageError const& error) {
    auto diagnosis = error.diagnosis();
    diagnosis.file = run.config_path.string();
    diagnosis.place = "factorised";
    throw dashi::ConfigurationError(std::move(diagnosis));
  }
}

void check_part(TrainRun const& run) {
  bool const kind = run.layout->method == dashi::SvdMethod::kind;
  bool const tailored = kind && std::any_of(run.layout->ranks.begin(), run.layout->ranks.end(),
                                            [](auto const& ranks) { return ranks.tailors > 0; });
  if (run.config.factorised.train == "tailors" && !tailored) {
    refuse(run, "factorised.train",
           std::string("tailors of a model ") +
               (kind ? "that has none" : "whose blocks share their vectors"),
           kind ? "sigma or all" : "sigma, which each block has for itself, or all",
           kind ? "dashi transfer --tailors draws some" : "");
  }
}

/// Nets in factors are compiled for two precisions, and for one step at a time.
void check_run(TrainRun const& run) {
  if (run.config.adapter.given()) {
    refuse(run, "adapter", "an adapter for a factorised model", "a dense one",
           "dashi recombine --dense makes one");
  }
  if (run.config.any_threads) {
    refuse(run, "reproducible", "any_threads for a factorised model", "default");
  }
  if (run.config.model.precision == "float16") {
    refuse(run, "model.precision", "float16 for a factorised model", "float32 or bf16");
  }
}

}  // namespace

FactorisedConfig factorised_config(ConfigMap& config, bool of_file) {
  FactorisedConfig f;
  if (!config.has("factorised")) {
    return f;
  }
  std::vector<std::string> const methods{"kind", "fine"};
  if (!of_file && config.is_word("factorised")) {
    f.method = config.choice("factorised", "", methods);
    return f;
  }
  ConfigMap map = config.map("factorised");
  if (of_file) {
    f.train = map.choice("train", "all", {"all", "tailors", "sigma"});
    f.class_table = map.flag("class_table", f.train == "tailors");
    for (char const* const key :
         {"method", "learngene", "tailors", "rank", "groups", "group_of_class"}) {
      if (map.has(key)) {
        map.refuse(key, "given beside model.from", "one of them",
                   "the file says what the model is; dashi factorise and transfer change it");
      }
    }
  } else {
    f.method = map.choice("method", "", methods);
    if (f.method.empty()) {
      map.refuse("method", "missing", "kind or fine");
    }
    if (map.has("train")) {
      map.refuse("train", "a part of a new model", "model.from, or no such key",
                 "what is drawn at random is to be trained as well");
    }
    take_new(map, f);
  }
  map.finish();
  return f;
}

void take_layout(TrainRun& run) {
  FactorisedConfig const& f = run.config.factorised;
  if (!f.method.empty()) {
    run.layout = new_layout(run);
  }
  if (!f.train.empty() && !run.layout) {
    refuse(run, "factorised", "a part of the dense model '" + run.config.model.from + "'",
           "a factorised one", "dashi factorise makes it");
  }
  if (run.layout) {
    check_part(run);
    check_run(run);
  }
}

void read_factorised_base(TrainRun& run) {
  if (run.config.model.hints.heads > 0 || run.config.model.hints.input_height > 0) {
    refuse(run, run.config.model.hints.heads > 0 ? "model.heads" : "model.input",
           "given for a factorised model", "no such key: the file says it");
  }
  auto model = checkpoints::read_factorised(*run.base);
  std::string const& embedders = run.config.model.embedders;
  bool const per_block = model.variant.embedders == dashi::io::DitEmbedders::per_block;
  if (!embedders.empty() && (embedders == "per_block") != per_block) {
    refuse(run, "model.embedders", embedders + " for a factorised model with others",
           per_block ? "per_block" : "shared");
  }
  run.base_model.configuration = model.configuration;
  run.base_model.variant = model.variant;
  run.layout = std::move(model.layout);
}

}  // namespace cli
