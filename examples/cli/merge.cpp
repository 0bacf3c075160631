// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "arguments.hpp"
#include "failure.hpp"
#include "mean_report.hpp"
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

namespace cli {

namespace {

namespace io = dashi::io;
namespace merging = dashi::merging;

struct MergeArguments {
  std::string method;
  std::vector<std::string> models;  ///< FILE=WEIGHT
  std::string score;
  bool no_digest = false;
  OutputArgument output;
  MeanArguments mean;
};

std::vector<merging::MergeMember> open_models(Session& session, MergeArguments const& arguments) {
  std::vector<merging::MergeMember> members;
  for (std::string const& text : arguments.models) {
    WeightedPath const model = split_weight(text);
    if (arguments.method != "linear" && model.weight != merging::DecimalWeight{}) {
      usage_error("bad-weight",
                  "--model " + io::in_quotes(text) + " with --method " + arguments.method,
                  "no weight", "give --method linear for a weighted mean");
    }
    members.push_back(merging::open_member(model.path, model.weight, arguments.mean.read));
    session.warn_all(members.back().checkpoint->warnings());
  }
  return members;
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
                            merging::MergePlan const& plan) {
  TimeEstimate const time =
      estimate(work_of(plan), plan.sources.front().checkpoint->files().front().file());
  std::string text = text_of(plan, arguments.output.path, time, session);
  if (arguments.method == "greedy") {
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
                                 merging::MergeOptions const& options) {
  ScoreCommand const command(arguments.score, !session.options.json);
  Json decisions = Json::array();
  merging::Greedy greedy;
  greedy.options = options;
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
  merging::MergePlan const plan = merging::plan_strategy(greedy, members, options);
  return publish_merge(session, arguments, plan, output, std::move(decisions));
}

dashi::ExitStatus merge(Session& session, MergeArguments const& arguments) {
  io::CheckpointOutput const output = arguments.output.checked();
  merging::MergeOptions options = arguments.mean.options(session);
  options.digests = !arguments.no_digest;
  bool const greedy = arguments.method == "greedy";
  if (greedy != !arguments.score.empty()) {
    usage_error("bad-score-command",
                greedy ? "--method greedy without --score" : "--score without greedy",
                greedy ? "a command with {} where the checkpoint's path goes" : "no --score");
  }
  if (greedy) {
    ScoreCommand(arguments.score, false);
  }
  std::vector<merging::MergeMember> members = open_models(session, arguments);
  expect_writable(arguments.output.path, output);
  // Also before a greedy soup starts its commands: members that do not fit are refused at once.
  merging::MergePlan const plan =
      arguments.method == "linear" ? merging::plan_strategy(merging::Weighted{}, members, options)
                                   : merging::plan_strategy(merging::Uniform{}, members, options);
  if (session.options.dry_run) {
    return plan_only(session, arguments, plan);
  }
  session.will_write(arguments.output.path);
  return greedy ? merge_greedily(session, arguments, output, std::move(members), options)
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
                                  "--out best.safetensors");
  verb->add_option("--method", arguments->method,
                   "linear: the mean with the given weights; uniform: the plain mean; greedy: the "
                   "plain mean\n"
                   "of those that raise the score")
      ->required()
      ->check(CLI::IsMember({"linear", "uniform", "greedy"}));
  verb->add_option("--model", arguments->models,
                   "FILE or FILE=WEIGHT, a decimal with at most 8 places; split at the last '='")
      ->required()
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  verb->add_option(
      "--score", arguments->score,
      "for greedy: a command that prints the score of checkpoint {}, higher is better; split\n"
      "into words as a shell does, but run without one");
  add_named_output(*verb, arguments->output);
  add_mean_dtype(*verb, arguments->mean);
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
