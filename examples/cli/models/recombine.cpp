// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "arguments.hpp"
#include "class_groups.hpp"
#include "model_verbs.hpp"
#include "output_argument.hpp"
#include "svd_report.hpp"
#include "verbs.hpp"

#include <dashi/checkpoints/svd_recombine.hpp>
#include <dashi/checkpoints/svd_transfer.hpp>
#include <dashi/io/checkpoint_digest.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace cli {

namespace {

namespace io = dashi::io;
namespace checkpoints = dashi::checkpoints;

struct Input {
  std::string path;
  bool no_digest = false;
  io::ReadOptions read;

  void add(CLI::App& verb) {
    verb.add_option("FACTORISED", path, "factorised DiT, as dashi factorise writes it")->required();
    verb.add_flag("--no-digest", no_digest, "leave the digest of the input out of the metadata");
    add_read_options(verb, read);
  }
  std::string digest(Session& session, io::Checkpoint const& checkpoint) const {
    return no_digest
               ? std::string()
               : io::checkpoint_digest(checkpoint, static_cast<std::size_t>(session.threads()),
                                       session.progress("digest"));
  }
};

io::Checkpoint open(Session& session, Input const& input) {
  expect_path("FACTORISED", input.path);
  io::Checkpoint checkpoint(input.path, input.read);
  session.warn_all(checkpoint.warnings());
  warn_of_unshared_metadata(session, checkpoint);
  return checkpoint;
}

struct Recombine {
  Input input;
  OutputArgument output;
  std::vector<dashi::Index> classes;
  bool dense = false;
  bool unite = false;
  bool keep_labels = false;
  std::string dtype;
};

std::string dense_text(std::string const& path, io::DitConfiguration const& c) {
  return fmt::format("{}: a DiT in original names\n", dashi::escaped(path)) +
         row("model", fmt::format("depth {}, width {}, {} classes", c.depth, c.width, c.classes)) +
         row("numbers", grouped(io::dit_parameters(c)));
}

dashi::ExitStatus recombine(Session& session, Recombine const& arguments) {
  io::CheckpointOutput const output = arguments.output.checked();
  checkpoints::RecombineOptions options;
  options.classes = arguments.classes;
  options.dense = arguments.dense;
  options.unite = arguments.unite;
  options.keep_labels = arguments.keep_labels;
  if (!arguments.dtype.empty()) {
    options.dtype = dtype_argument(arguments.dtype);
  }
  io::Checkpoint const checkpoint = open(session, arguments.input);
  auto const plan = checkpoints::plan_recombine(checkpoints::read_factorised(checkpoint), options);
  Json report{{"verb", "recombine"},
              {"input", arguments.input.path},
              {"output", arguments.output.path},
              {"dense", plan.dense},
              {"classes", plan.classes},
              {"groups", plan.groups},
              {"keep_labels", plan.keep_labels}};
  if (!plan.dense) {
    report["model"] = svd_json(plan.model);
  }
  auto const text = [&](std::string const& path) {
    return (plan.dense ? dense_text(path, plan.model.configuration) : svd_text(path, plan.model)) +
           (plan.from.layout.method == dashi::SvdMethod::kind
                ? row("tailors",
                      fmt::format("{} of {} groups", plan.groups.size(), plan.from.layout.groups))
                : std::string());
  };
  if (session.options.dry_run) {
    report["dry_run"] = true;
    session.say(text(arguments.output.path));
    session.report(report);
    return dashi::ExitStatus::success;
  }
  session.will_write(arguments.output.path);
  session.start_kokkos(session.threads());
  std::string const digest = arguments.input.digest(session, checkpoint);
  auto metadata = checkpoint.metadata();
  append_source(metadata, "recombine", digest);
  std::string kept;
  for (dashi::Index const label : plan.classes) {
    kept += (kept.empty() ? "" : " ") + std::to_string(label);
  }
  if (!plan.keep_labels) {
    metadata["dashi.kept_classes"] = kept;
  }
  dashi::Context<Kokkos::DefaultHostExecutionSpace> ctx;
  auto const result = checkpoints::recombine(ctx, checkpoint, plan, metadata, arguments.output.path,
                                             output, session.progress("recombine"));
  session.say(text(result.path.string()));
  report["output"] = result.path.string();
  report["shards"] = result.shards;
  report["parameters"] = result.parameters;
  report["input_digest"] = digest;
  session.report(report);
  return dashi::ExitStatus::success;
}

struct Transfer {
  Input input;
  OutputArgument output;
  std::string classes;
  std::int64_t tailors = 0;
  double scale = 1;
  std::int64_t depth = 0;
  std::string sigma = "linear";
};

dashi::ExitStatus transfer(Session& session, Transfer const& arguments) {
  io::CheckpointOutput const output = arguments.output.checked();
  checkpoints::TransferOptions options;
  if (!arguments.classes.empty()) {
    options.classes = read_class_groups(arguments.classes);
  }
  if (arguments.tailors > 0) {
    options.tailors = arguments.tailors;
  }
  options.tailor_scale = arguments.scale;
  if (arguments.depth > 0) {
    options.depth = arguments.depth;
  }
  options.random_sigma = arguments.sigma == "random";
  options.seed = session.options.seed;
  io::Checkpoint const checkpoint = open(session, arguments.input);
  auto const plan = checkpoints::plan_transfer(checkpoints::read_factorised(checkpoint), options);
  Json report{{"verb", "transfer"},
              {"input", arguments.input.path},
              {"output", arguments.output.path},
              {"seed", options.seed},
              {"model", svd_json(plan.model)}};
  if (session.options.dry_run) {
    report["dry_run"] = true;
    session.say(svd_text(arguments.output.path, plan.model));
    session.report(report);
    return dashi::ExitStatus::success;
  }
  session.will_write(arguments.output.path);
  session.start_kokkos(session.threads());
  std::string const digest = arguments.input.digest(session, checkpoint);
  auto metadata = checkpoint.metadata();
  append_source(metadata, "transfer", digest);
  auto const result = checkpoints::transfer(checkpoint, plan, metadata, arguments.output.path,
                                            output, session.progress("transfer"));
  session.say(svd_text(result.path.string(), plan.model));
  report["output"] = result.path.string();
  report["shards"] = result.shards;
  report["parameters"] = result.parameters;
  report["input_digest"] = digest;
  session.report(report);
  return dashi::ExitStatus::success;
}

}  // namespace

void add_recombine(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<Recombine>();
  CLI::App* const verb = add_verb(
      app, "recombine", model_verb_summary("recombine"),
      "  dashi recombine kind.safetensors small.safetensors --classes 3,7\n"
      "  dashi recombine kind.safetensors model.safetensors --classes 3,7 --dense\n\n"
      "In factors each class keeps the gate that it was trained with. --dense and --unite give "
      "all\nclasses the tailors of all of them; in a dense model so have samples without a class.");
  arguments->input.add(*verb);
  add_output_argument(*verb, arguments->output);
  verb->add_option("--classes", arguments->classes,
                   "labels to keep, such as 3,7 (default: all); the first becomes label 0")
      ->delimiter(',');
  verb->add_flag("--dense", arguments->dense, "write a plain DiT");
  verb->add_flag("--unite", arguments->unite, "in factors, all kept tailors for every class");
  verb->add_flag("--keep-labels", arguments->keep_labels,
                 "keep the whole label table and the numbers of the classes");
  verb->add_option("--dtype", arguments->dtype,
                   "of what is made of factors (default: as the factors)");
  on_verb(*verb, session, arguments, recombine);
}

void add_transfer(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<Transfer>();
  CLI::App* const verb = add_verb(
      app, "transfer", model_verb_summary("transfer"),
      "  dashi transfer kind.safetensors new.safetensors --classes-config new_classes.yaml\n"
      "  dashi transfer fine.safetensors deeper.safetensors --depth 12\n\n"
      "docs/factorised.md says what is kept and what is drawn.");
  arguments->input.add(*verb);
  add_output_argument(*verb, arguments->output);
  verb->add_option("--classes-config", arguments->classes,
                   "YAML file with the new classes and their groups of tailors");
  verb->add_option("--tailors", arguments->tailors, "of each map (default: as many as there were)")
      ->check(CLI::Range(1, 1 << 24));
  verb->add_option("--tailor-scale", arguments->scale,
                   "of new tailors, times the mean size of those that go (default 1)")
      ->check(CLI::Range(0.0, 1e6));
  verb->add_option("--depth", arguments->depth, "of a fine model: how many blocks")
      ->check(CLI::Range(1, 4096));
  verb->add_option("--sigma", arguments->sigma,
                   "at another depth: linear (default) between old blocks, or random")
      ->check(CLI::IsMember({"linear", "random"}));
  on_verb(*verb, session, arguments, transfer);
}

}  // namespace cli
