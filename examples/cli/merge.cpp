// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "arguments.hpp"
#include "failure.hpp"
#include "mean_report.hpp"
#include "merge_recipe.hpp"
#include "output_argument.hpp"
#include "score_command.hpp"
#include "signals.hpp"
#include "verbs.hpp"

#include <dashi/io/listing.hpp>
#include <dashi/merging/greedy.hpp>
#include <dashi/merging/merge.hpp>
#include <dashi/merging/private_folder.hpp>
#include <dashi/merging/uniform.hpp>
#include <dashi/merging/weighted.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <vector>

namespace cli {

namespace {

namespace io = dashi::io;
namespace merging = dashi::merging;

struct MergeArguments {
  std::string method;
  std::vector<std::string> models;    ///< FILE=WEIGHT
  std::optional<std::string> recipe;  ///< its file
  std::optional<std::string> base, on_missing, dtype;
  std::string score;
  bool no_digest = false;
  OutputArgument output;
  MeanArguments mean;
};

/// The models and weights of the options.
std::vector<RecipeModel> models_of(MergeArguments const& arguments) {
  std::string const& method = arguments.method;
  if (method.empty() || arguments.models.empty()) {
    usage_error("usage", method.empty() ? "no --method" : "no --model",
                "--recipe, or --method and --model");
  }
  std::vector<RecipeModel> out;
  for (std::string const& text : arguments.models) {
    WeightedPath const model = split_weight(text);
    if (method != "linear" && model.weight != merging::DecimalWeight{}) {
      usage_error("bad-weight", "--model " + io::in_quotes(text) + " with --method " + method,
                  "no weight", "give --method linear for a weighted mean");
    }
    out.push_back({model.path, model.weight});
  }
  return out;
}

/// What the options say, and the recipe where there is one. Options overrule it.
MergeRecipe recipe_of(MergeArguments const& arguments) {
  MergeRecipe recipe;
  if (arguments.recipe) {
    expect_path("--recipe", *arguments.recipe);
    recipe = read_merge_recipe(*arguments.recipe, arguments.on_missing.value_or(""));
  } else {
    recipe.method = arguments.method;
    recipe.models = models_of(arguments);
    recipe.on_missing = arguments.on_missing.value_or(recipe.on_missing);
  }
  if (arguments.base) {
    expect_path("--base", *arguments.base);
    recipe.base = *arguments.base;
  }
  recipe.dtype = arguments.dtype.value_or(recipe.dtype);
  return recipe;
}

/// A filter with a typing error would leave a merge as it is without it.
void warn_of_idle_rules(Session& session, merging::MergePlan const& plan) {
  for (std::size_t m = 0; m < plan.members; ++m) {
    merging::MergeMember const& member = plan.sources[m];
    std::vector<std::size_t> const uses = merging::uses_of_rules(member, plan.tensors);
    for (std::size_t r = 0; r < uses.size(); ++r) {
      if (uses[r] == 0) {
        session.warn(fmt::format("{}: no tensor takes the weight of the filter {}",
                                 dashi::escaped(member.name),
                                 io::in_quotes(member.rules[r].filter)));
      }
    }
  }
}

merging::MergeMember open_model(Session& session, RecipeModel const& model,
                                MergeArguments const& arguments) {
  merging::MergeMember member = merging::open_member(model.path, model.weight, arguments.mean.read);
  member.rules = model.rules;
  session.warn_all(member.checkpoint->warnings());
  return member;
}

merging::PublishOptions publish_options(io::CheckpointOutput const& output) {
  merging::PublishOptions out;
  out.force = output.file.force;
  out.largest_shard = output.largest_shard;
  return out;
}

dashi::ExitStatus publish_merge(Session& session, MergeArguments const& arguments,
                                merging::MergePlan const& plan, io::CheckpointOutput const& output,
                                Json decisions) {
  session.start_kokkos();
  Stopwatch const watch;
  merging::MergeResult const result = merging::publish_mean(
      plan, arguments.output.path, publish_options(output), session.progress("merge"));
  double const seconds = watch.seconds();
  session.say(fmt::format("{}: the exact mean of {} checkpoint{}, {}\n",
                          dashi::escaped(result.path.string()), plan.members,
                          plan.members == 1 ? "" : "s",
                          rate_text(plan.bytes_to_read + plan.bytes_to_write, seconds)));
  Json const counts = counts_of(session, result, arguments.mean.numbers.saturate);
  if (!session.options.json) {
    return dashi::ExitStatus::success;
  }
  Json object = json_of(plan, result.path);
  object["verb"] = "merge";
  object["seconds"] = seconds;
  object["digests"] = result.digests;
  object["counts"] = counts;
  if (!decisions.empty()) {
    object["decisions"] = std::move(decisions);
  }
  session.report(object);
  return dashi::ExitStatus::success;
}

dashi::ExitStatus plan_only(Session& session, MergeArguments const& arguments,
                            std::string const& method, merging::MergePlan const& plan) {
  TimeEstimate const time =
      estimate(work_of(plan), plan.sources.front().checkpoint->files().front().file());
  std::string text = text_of(plan, arguments.output.path, time, session);
  if (method == "greedy") {
    text += row("greedy", "the plan is that of all members; the scores decide which are kept");
  }
  session.say(text);
  if (session.options.json) {
    Json object = json_of(plan, arguments.output.path);
    add_time(object, time);
    object["verb"] = "merge";
    object["dry_run"] = true;
    session.report(object);
  }
  return dashi::ExitStatus::success;
}

dashi::ExitStatus merge_greedily(Session& session, MergeArguments const& arguments,
                                 io::CheckpointOutput const& output,
                                 std::vector<merging::MergeMember> members,
                                 merging::MergeOptions const& options,
                                 std::optional<merging::MergeMember> const& base) {
  ScoreCommand const command(arguments.score, !session.options.json);
  Json decisions = Json::array();
  merging::Greedy greedy;
  greedy.options = options;
  greedy.base = base;
  std::filesystem::path const out(arguments.output.path);
  merging::PrivateFolder const scratch(out.has_parent_path() ? out.parent_path() : ".");
  remove_folder_after_signal(scratch.path());
  greedy.scratch = scratch.path();
  greedy.score = command;
  greedy.report = [&](merging::GreedyStep const& step) {
    std::string const& name = members[step.member].name;
    session.say(fmt::format("  {:<7} {}: own score {}, soup with it {}\n",
                            step.kept ? "kept" : "left out", dashi::escaped(name),
                            short_number(step.own_score), short_number(step.soup_score)));
    decisions.push_back({{"name", name},
                         {"own_score", step.own_score},
                         {"soup_score", step.soup_score},
                         {"kept", step.kept}});
  };
  session.start_kokkos();
  merging::MergePlan const plan = merging::plan_strategy(greedy, members, options, base);
  return publish_merge(session, arguments, plan, output, std::move(decisions));
}

dashi::ExitStatus merge(Session& session, MergeArguments const& arguments) {
  io::CheckpointOutput const output = arguments.output.checked();
  MergeRecipe const recipe = recipe_of(arguments);
  merging::MergeOptions options = arguments.mean.options(session);
  options.dtype = mean_dtype_argument(recipe.dtype);
  options.digests = !arguments.no_digest;
  options.on_missing = on_missing_argument(recipe.on_missing);
  if ((options.on_missing == merging::OnMissing::keep_base) == recipe.base.empty()) {
    usage_error("base",
                recipe.base.empty() ? "--on-missing=keep-base without a base"
                                    : "a base that nothing is taken from",
                "--base with --on-missing=keep-base, and neither without the other");
  }
  bool const greedy = recipe.method == "greedy";
  if (greedy != !arguments.score.empty()) {
    usage_error("bad-score-command",
                greedy ? "--method greedy without --score" : "--score without greedy",
                greedy ? "a command with {} where the checkpoint's path goes" : "no --score");
  }
  if (greedy) {
    ScoreCommand(arguments.score, false);
  }
  std::vector<merging::MergeMember> members;
  for (RecipeModel const& model : recipe.models) {
    members.push_back(open_model(session, model, arguments));
  }
  std::optional<merging::MergeMember> base;
  if (!recipe.base.empty()) {
    base = open_model(session, {recipe.base}, arguments);
  }
  expect_writable(arguments.output.path, output);
  // Also before a greedy soup starts its commands: members that do not fit are refused at once.
  merging::MergePlan const plan =
      recipe.method == "linear"
          ? merging::plan_strategy(merging::Weighted{}, members, options, base)
          : merging::plan_strategy(merging::Uniform{}, members, options, base);
  warn_of_idle_rules(session, plan);
  if (session.options.dry_run) {
    return plan_only(session, arguments, recipe.method, plan);
  }
  session.will_write(arguments.output.path);
  return greedy ? merge_greedily(session, arguments, output, std::move(members), options, base)
                : publish_merge(session, arguments, plan, output, Json::array());
}

}  // namespace

void add_merge(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<MergeArguments>();
  CLI::App* const verb = add_verb(app, "merge", "write an exact mean of checkpoints",
                                  "  dashi merge --method linear --model a.safetensors=0.3 --model "
                                  "b.safetensors=0.7 --out ab.safetensors\n"
                                  "  dashi merge --method greedy --model a.safetensors --model "
                                  "b.safetensors --score './score.py {}' "
                                  "--out best.safetensors\n"
                                  "  dashi merge --recipe linear.yaml --out ab.safetensors");
  CLI::Option* const method =
      verb->add_option("--method", arguments->method,
                       "linear: the mean with the given weights; uniform: the plain mean; greedy: "
                       "the plain mean\n"
                       "of those that raise the score")
          ->check(CLI::IsMember({"linear", "uniform", "greedy"}));
  CLI::Option* const models =
      verb->add_option(
              "--model", arguments->models,
              "FILE or FILE=WEIGHT, a decimal with at most 8 places; split at the last '='")
          ->expected(1)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  verb->add_option("--recipe", arguments->recipe,
                   "a YAML file with mergekit's keys for a linear merge: models, merge_method, "
                   "parameters (weight, also\n"
                   "by filter), base_model, dtype, out_dtype; and on_missing")
      ->excludes(method)
      ->excludes(models);
  verb->add_option("--on-missing", arguments->on_missing,
                   "a tensor that some models lack is an error, or: skip, the mean of the others; "
                   "zero; keep-base,\n"
                   "the tensor of --base stands for it")
      ->check(CLI::IsMember(on_missing_names()));
  verb->add_option("--base", arguments->base,
                   "the checkpoint that --on-missing=keep-base takes from");
  verb->add_option(
      "--score", arguments->score,
      "for greedy: a command that prints the score of checkpoint {}, higher is better; split\n"
      "into words as a shell does, but run without one");
  add_named_output(*verb, arguments->output);
  add_mean_dtype(*verb, arguments->dtype);
  verb->add_flag("--strict-dtype", arguments->mean.strict_dtype,
                 "refuse models that store a tensor in different dtypes");
  verb->add_flag(
      "--no-digest", arguments->no_digest,
      "do not hash the models: the result does not record what it was made of, and copies of one\n"
      "model are not noticed");
  verb->add_flag("--allow-duplicate", arguments->mean.allow_duplicate,
                 "accept two models of the same content");
  add_number_options(*verb, arguments->mean.numbers);
  add_read_options(*verb, arguments->mean.read);
  on_verb(*verb, session, arguments, merge);
}

}  // namespace cli
