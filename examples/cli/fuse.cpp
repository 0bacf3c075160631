// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "applied_adapters.hpp"
#include "arguments.hpp"
#include "failure.hpp"
#include "mean_report.hpp"
#include "output_argument.hpp"
#include "verbs.hpp"

#include <dashi/checkpoints/fuse.hpp>
#include <dashi/checkpoints/fuse_memory.hpp>
#include <dashi/io/byte_size.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/listing.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace cli {

namespace {

namespace io = dashi::io;
namespace checkpoints = dashi::checkpoints;

struct FuseArguments {
  std::string base;
  AppliedAdapters adapters;
  OutputArgument output;
  std::string undo;
  NumberArguments numbers;
  bool no_digest = false;
  io::ReadOptions read;
};

checkpoints::FuseOptions options_of(Session const& session, FuseArguments const& arguments) {
  checkpoints::FuseOptions options;
  options.numbers.nonfinite = arguments.numbers.propagate()
                                  ? dashi::merging::NonfinitePolicy::propagate
                                  : dashi::merging::NonfinitePolicy::error;
  options.numbers.overflow = overflow_policy(arguments.numbers);
  options.numbers.stream = {.workers = session.threads(), .memory_budget = session.memory()};
  options.digests = !arguments.no_digest;
  options.undo = arguments.undo;
  options.undo_file.force = arguments.output.force;
  return options;
}

void expect_two_outputs(FuseArguments const& arguments) {
  if (!arguments.undo.empty() &&
      io::single_file_path(arguments.undo).lexically_normal() ==
          io::single_file_path(arguments.output.path).lexically_normal()) {
    usage_error("one-output", "--undo and --out are the same file", "two files");
  }
}

dashi::ExitStatus fuse(Session& session, FuseArguments const& arguments) {
  expect_path("BASE", arguments.base);
  io::CheckpointOutput output = arguments.output.checked();
  expect_two_outputs(arguments);
  io::Checkpoint const base(arguments.base, arguments.read);
  session.warn_all(base.warnings());
  warn_of_unshared_metadata(session, base);
  std::deque<OpenAdapter> adapters = read_adapters(arguments.adapters, arguments.read);
  resolve_adapters(session, adapters, base);
  checkpoints::FusePlan const plan = checkpoints::plan_fusion(base, fuse_adapters(adapters));
  checkpoints::FuseOptions options = options_of(session, arguments);
  std::uint64_t const memory = checkpoints::fuse_memory(plan, options.numbers.stream);
  for (io::FileIdentity const& input : identities(adapters)) {
    output.file.inputs.push_back(input);
    options.undo_file.inputs.push_back(input);
  }
  expect_writable(arguments.output.path, output);
  if (!arguments.undo.empty()) {
    expect_writable(arguments.undo, output);
  }
  if (plan.touched == 0) {
    session.warn(arguments.base + ": no tensor changes: every strength is 0");
  }
  checkpoints::FuseResult result;
  Stopwatch const watch;
  if (session.options.dry_run) {
    std::vector<std::uint64_t> sizes;
    for (io::TensorSpec const& spec : checkpoints::specs_of(base)) {
      sizes.push_back(io::tensor_bytes(spec, arguments.base));
    }
    auto const planned = planned_output(arguments.output.path, sizes, output);
    result.path = planned.path;
    result.shards = planned.shards;
  } else {
    session.will_write(arguments.output.path);
    if (!arguments.undo.empty()) {
      session.will_write(arguments.undo);
    }
    result =
        checkpoints::fuse(plan, arguments.output.path, output, options, session.progress("fuse"));
    if (result.counts.total() > 0) {
      session.warn(fmt::format("{}: {} NaN and {} infinite results; {} too large, {}",
                               arguments.output.path, result.counts.nan, result.counts.infinite,
                               result.counts.overflowed,
                               arguments.numbers.saturate ? "saturated" : "now infinite or NaN"));
    }
  }
  double const seconds = watch.seconds();
  std::string out = module_table(plan);
  if (session.options.dry_run) {
    out += row("memory", io::format_bytes(memory) + " at most") +
           row("read", io::format_bytes(base.bytes())) +
           row("write", io::format_bytes(base.bytes()));
  } else {
    out = "";
    for (OpenAdapter const& adapter : adapters) {
      out +=
          row("adapter",
              fmt::format("{} at strength {}, {} modules", dashi::escaped(short_name(adapter.path)),
                          text(adapter.strength), grouped(adapter.file.modules.size())));
    }
  }
  session.say(fmt::format("{}: {} of {} tensors {}{}{}\n", dashi::escaped(result.path.string()),
                          grouped(plan.touched), grouped(plan.tensors.size()),
                          session.options.dry_run ? "would be changed" : "changed",
                          result.shards == 1 ? "" : fmt::format(", {} shards", result.shards),
                          session.options.dry_run ? std::string()
                                                  : ", " + rate_text(2 * base.bytes(), seconds)) +
              out);
  if (!session.options.json) {
    return dashi::ExitStatus::success;
  }
  Json object{{"verb", "fuse"},
              {"base", arguments.base},
              {"output", result.path.string()},
              {"shards", result.shards},
              {"tensors", plan.tensors.size()},
              {"changed", plan.touched},
              {"bytes_read", base.bytes()},
              {"bytes_written", base.bytes()},
              {"peak_memory", memory},
              {"adapters", adapters_json(adapters)},
              {"modules", modules_json(plan)}};
  if (session.options.dry_run) {
    object["dry_run"] = true;
  } else {
    object["seconds"] = seconds;
    object["nan"] = result.counts.nan;
    object["infinite"] = result.counts.infinite;
    object["overflowed"] = result.counts.overflowed;
    if (!result.base_digest.empty()) {
      object["base_digest"] = result.base_digest;
    }
    if (!arguments.undo.empty()) {
      object["undo"] = arguments.undo;
      object["fused_digest"] = result.fused_digest;
    }
  }
  session.report(object);
  return dashi::ExitStatus::success;
}

}  // namespace

void add_fuse(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<FuseArguments>();
  CLI::App* const verb = add_verb(
      app, "fuse", "bake adapters into a checkpoint, each weight rounded once",
      "  dashi fuse --base base.safetensors --adapter style.safetensors=0.8 --out "
      "fused.safetensors\n"
      "  dashi fuse --base base.safetensors --adapter peft_folder/ --adapter b.safetensors "
      "--out fused.safetensors --undo fused.undo.safetensors");
  verb->add_option("--base", arguments->base,
                   "safetensors file, index, or directory with one of either")
      ->required();
  add_applied_adapters(*verb, arguments->adapters,
                       "FILE or FILE=STRENGTH, a decimal with at most 8 places; split at the last\n"
                       "'='; several are fused in their order");
  add_named_output(*verb, arguments->output);
  verb->add_option("--undo", arguments->undo,
                   "also write what dashi unfuse needs to give the base back byte for byte");
  verb->add_flag("--no-digest", arguments->no_digest,
                 "leave the digest of the base out of the metadata");
  add_number_options(*verb, arguments->numbers);
  add_read_options(*verb, arguments->read);
  on_verb(*verb, session, arguments, fuse);
}

}  // namespace cli
