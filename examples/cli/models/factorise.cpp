// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "arguments.hpp"
#include "class_groups.hpp"
#include "dit_argument.hpp"
#include "model_verbs.hpp"
#include "output_argument.hpp"
#include "svd_report.hpp"
#include "verbs.hpp"

#include <dashi/checkpoints/svd_factorise.hpp>
#include <dashi/io/byte_size.hpp>
#include <dashi/io/checkpoint_digest.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace cli {

namespace {

namespace io = dashi::io;
namespace checkpoints = dashi::checkpoints;

struct FactoriseArguments {
  DitArgument dit;
  OutputArgument output;
  std::string kind = "kind";
  std::int64_t learngene = -1;
  std::int64_t tailors = -1;
  std::string groups = "2";
  std::int64_t rank = 0;
  std::int64_t sweeps = 10;
  std::string dtype;
};

void expect_options_of(FactoriseArguments const& arguments, CLI::App const& verb) {
  bool const kind = arguments.kind == "kind";
  for (char const* const option : {"--learngene", "--tailors", "--groups", "--rank", "--sweeps"}) {
    bool const of_kind =
        std::string_view(option) != "--rank" && std::string_view(option) != "--sweeps";
    if (verb.count(option) > 0 && of_kind != kind) {
      throw dashi::UsageError(
          {.code = "option-of-another-kind",
           .file = {},
           .place = {},
           .found = std::string(option) + " for " + arguments.kind,
           .expected = kind ? "--learngene, --tailors and --groups" : "--rank and --sweeps",
           .advice = {}});
    }
  }
}

checkpoints::FactoriseOptions options_of(FactoriseArguments const& arguments, OpenDit const& dit) {
  checkpoints::FactoriseOptions options;
  options.method = arguments.kind == "kind" ? dashi::SvdMethod::kind : dashi::SvdMethod::fine;
  if (arguments.learngene >= 0) {
    options.learngene = arguments.learngene;
  }
  if (arguments.tailors >= 0) {
    options.tailors = arguments.tailors;
  }
  if (options.method == dashi::SvdMethod::kind) {
    auto const groups = class_groups_argument(arguments.groups, dit.model.configuration.classes);
    options.groups = groups.groups;
    options.group_of_class = groups.group_of_class;
  }
  if (arguments.rank > 0) {
    options.rank = arguments.rank;
  }
  options.sweeps = arguments.sweeps;
  if (!arguments.dtype.empty()) {
    options.dtype = dtype_argument(arguments.dtype);
  }
  return options;
}

/// Shares of the squared norm, each map, then the whole model's.
std::string energy_table(std::vector<checkpoints::FactorEnergy> const& energies, bool kind) {
  std::size_t width = 3;
  for (auto const& energy : energies) {
    width = std::max(width, energy.map.size());
  }
  std::string out = fmt::format("  {:<{}}  {:<13} {:>10}  {:>9}{}\n", "map", width, "shape",
                                "components", "kept", kind ? "  learngene" : "");
  for (auto const& energy : energies) {
    std::string const parts =
        kind ? fmt::format("{}+{}", energy.ranks.learngene, energy.ranks.tailors)
             : std::to_string(energy.ranks.learngene);
    out += fmt::format("  {:<{}}  {:<13} {:>10}  {:>9.6f}{}\n", energy.map, width,
                       fmt::format("{} x {}", energy.shape.out, energy.shape.in), parts,
                       energy.kept, kind ? fmt::format("  {:>9.6f}", energy.learngene) : "");
  }
  return out;
}

dashi::ExitStatus factorise(Session& session, FactoriseArguments const& arguments) {
  io::CheckpointOutput const output = arguments.output.checked();
  OpenDit const dit = open_dit(session, arguments.dit);
  if (dit.layout) {
    throw dashi::FormatError({.code = "already-factorised",
                              .file = arguments.dit.path,
                              .place = {},
                              .found = "a factorised DiT",
                              .expected = "a dense one",
                              .advice = "dashi recombine --dense makes one"});
  }
  warn_of_unshared_metadata(session, *dit.checkpoint);
  checkpoints::FactoriseOptions const options = options_of(arguments, dit);
  checkpoints::FactorisePlan const plan =
      checkpoints::plan_factorise(*dit.checkpoint, dit.model, options);
  Json report{{"verb", "factorise"},
              {"input", arguments.dit.path},
              {"output", arguments.output.path},
              {"model", svd_json(plan.model)}};
  if (session.options.dry_run) {
    report["dry_run"] = true;
    report["bytes"] = plan.bytes();
    session.say(svd_text(arguments.output.path, plan.model) +
                row("size", io::format_bytes(plan.bytes())));
    session.report(report);
    return dashi::ExitStatus::success;
  }
  session.will_write(arguments.output.path);
  session.start_kokkos(session.threads());
  auto metadata = dit.checkpoint->metadata();
  std::string const digest = digest_of(session, arguments.dit, dit);
  append_source(metadata, "factorise", digest);
  dashi::Context<Kokkos::DefaultHostExecutionSpace> ctx;
  auto const result = checkpoints::factorise(ctx, plan, metadata, arguments.output.path, output,
                                             session.memory(), session.progress("factorise"));
  bool const kind = options.method == dashi::SvdMethod::kind;
  double least = 1;
  Json maps = Json::array();
  for (auto const& energy : result.energies) {
    least = std::min(least, energy.kept);
    Json map{{"map", energy.map},
             {"out", energy.shape.out},
             {"in", energy.shape.in},
             {"components", energy.ranks.total()},
             {"kept", energy.kept}};
    if (kind) {
      map["learngene"] = energy.ranks.learngene;
      map["tailors"] = energy.ranks.tailors;
      map["learngene_kept"] = energy.learngene;
    }
    maps.push_back(std::move(map));
  }
  session.say(energy_table(result.energies, kind));
  session.say(svd_text(result.path.string(), plan.model) +
              row("kept", fmt::format("{:.6f} or more of each weight's squared norm", least)));
  report["output"] = result.path.string();
  report["shards"] = result.shards;
  report["input_digest"] = digest;
  report["least_kept"] = least;
  report["maps"] = maps;
  session.report(report);
  return dashi::ExitStatus::success;
}

}  // namespace

void add_factorise(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<FactoriseArguments>();
  CLI::App* const verb = add_verb(
      app, "factorise", model_verb_summary("factorise"),
      "  dashi factorise model.safetensors kind.safetensors --groups classes.yaml\n"
      "  dashi factorise model.safetensors kind.safetensors --learngene 192 --tailors 192\n"
      "  dashi factorise model.safetensors fine.safetensors --kind fine --rank 256\n\n"
      "KIND (arXiv 2408.07337) and FINE (arXiv 2409.19289); docs/factorised.md describes the "
      "file.");
  add_dit_argument(*verb, arguments->dit);
  add_output_argument(*verb, arguments->output);
  verb->add_option("--kind", arguments->kind,
                   "kind (default): a learngene and tailors gated by class in each map; fine: "
                   "vectors\nthat all blocks share")
      ->check(CLI::IsMember({"kind", "fine"}));
  verb->add_option("--learngene", arguments->learngene,
                   "components that every class uses (default: what tailors leave)")
      ->check(CLI::Range(0, 1 << 24));
  verb->add_option("--tailors", arguments->tailors,
                   "components in groups, of which a class uses one (default: half of the smaller "
                   "side)")
      ->check(CLI::Range(0, 1 << 24));
  verb->add_option("--groups", arguments->groups,
                   "how many groups of tailors (default 2), or a YAML file with the group of each "
                   "class");
  verb->add_option("--rank", arguments->rank, "of fine (default: the smaller side)")
      ->check(CLI::Range(1, 1 << 24));
  verb->add_option("--sweeps", arguments->sweeps, "of fine: rounds of least squares (default 10)")
      ->check(CLI::Range(0, 10000));
  verb->add_option("--dtype", arguments->dtype, "of the factors (default f32; f64 of f64)");
  verb->callback([&session, arguments, verb] {
    session.action = [&session, arguments, verb] {
      expect_options_of(*arguments, *verb);
      return factorise(session, *arguments);
    };
  });
}

}  // namespace cli
