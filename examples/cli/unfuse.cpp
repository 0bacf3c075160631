// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "applied_adapters.hpp"
#include "arguments.hpp"
#include "failure.hpp"
#include "mean_report.hpp"
#include "signals.hpp"
#include "verbs.hpp"

#include <dashi/checkpoints/fuse.hpp>
#include <dashi/checkpoints/unfuse.hpp>
#include <dashi/io/byte_size.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/merging/private_folder.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>

namespace cli {

namespace {

namespace io = dashi::io;
namespace checkpoints = dashi::checkpoints;

struct UnfuseArguments {
  std::string fused;
  std::string undo;
  std::string out;
  std::string remove;
  std::string new_undo;
  AppliedAdapters rest;
  bool force = false;
  io::ReadOptions read;
};

using Record = checkpoints::FuseUndoRecord;

/// Which adapter of the record `--remove` means: its name, or the file itself.
std::size_t removed(UnfuseArguments const& arguments, Record const& record) {
  std::vector<std::size_t> found;
  std::vector<std::string> names;
  for (std::size_t a = 0; a < record.adapters.size(); ++a) {
    names.push_back(record.adapters[a].name);
    if (short_name(arguments.remove) == record.adapters[a].name) {
      found.push_back(a);
    }
  }
  if (found.size() != 1 && std::filesystem::exists(arguments.remove)) {
    AppliedAdapters one = arguments.rest;
    one.adapters = {arguments.remove};
    std::string const digest = read_adapters(one, arguments.read).front().digest;
    found.clear();
    for (std::size_t a = 0; a < record.adapters.size(); ++a) {
      if (record.adapters[a].digest == digest) {
        found.push_back(a);
      }
    }
  }
  if (found.size() != 1) {
    usage_error("which-adapter",
                "--remove " + io::in_quotes(arguments.remove) +
                    (found.empty() ? " was not fused" : " was fused more than once"),
                "one of " + io::listing(names), "give its name or its file");
  }
  return found.front();
}

/// The adapters that stay, in the order and with the strengths of the record.
std::deque<OpenAdapter> remaining(UnfuseArguments const& arguments, Record const& record,
                                  std::size_t without) {
  std::deque<OpenAdapter> given = read_adapters(arguments.rest, arguments.read);
  std::deque<OpenAdapter> out;
  for (std::size_t a = 0; a < record.adapters.size(); ++a) {
    if (a == without) {
      continue;
    }
    Record::Adapter const& wanted = record.adapters[a];
    auto const at = std::find_if(given.begin(), given.end(), [&](OpenAdapter const& adapter) {
      return adapter.digest == wanted.digest;
    });
    if (at == given.end()) {
      throw dashi::FormatError({.code = "adapter-missing",
                                .file = arguments.undo,
                                .place = "adapter " + io::in_quotes(wanted.name),
                                .found = "no --adapter has its digest " + wanted.digest,
                                .expected = "every adapter that stays, unchanged",
                                .advice = "give --adapter FILE for it, and the --ignore of then"});
    }
    out.push_back(*at);
    out.back().strength = dashi::merging::parse_weight(wanted.strength);
  }
  return out;
}

void expect_options(UnfuseArguments const& arguments) {
  if (arguments.remove.empty() &&
      (!arguments.rest.adapters.empty() || !arguments.new_undo.empty())) {
    usage_error("adapter-without-remove", "--adapter or --new-undo without --remove",
                "--remove NAME with it", "without --remove the base itself comes back");
  }
}

/// The base again, in a folder of its own, and the adapters that stay fused into it.
checkpoints::FuseResult refuse(Session& session, UnfuseArguments const& arguments,
                               io::Checkpoint const& fused, checkpoints::FuseUndoFile const& undo,
                               std::deque<OpenAdapter>& adapters,
                               checkpoints::StreamOptions const& stream) {
  std::filesystem::path const out(arguments.out);
  dashi::merging::PrivateFolder const scratch(out.has_parent_path() ? out.parent_path() : ".");
  remove_folder_after_signal(scratch.path());
  Record const& record = undo.record();
  std::filesystem::path const rebuilt =
      scratch.path() / (record.index.empty() ? record.files.front() : record.index);
  checkpoints::unfuse(fused, undo, rebuilt, {}, stream, session.progress("unfuse"));
  io::Checkpoint const base(rebuilt, arguments.read);
  resolve_adapters(session, adapters, base);
  checkpoints::FusePlan const plan = checkpoints::plan_fusion(base, fuse_adapters(adapters));
  io::CheckpointOutput output;
  output.file.force = arguments.force;
  output.file.inputs = identities(adapters);
  for (io::FileIdentity const& input : checkpoints::input_identities(fused)) {
    output.file.inputs.push_back(input);
  }
  output.file.inputs.push_back(undo.file().identity());
  checkpoints::FuseOptions options;
  options.numbers.stream = stream;
  options.undo = arguments.new_undo;
  options.undo_file = output.file;
  return checkpoints::fuse(plan, arguments.out, output, options, session.progress("fuse"));
}

dashi::ExitStatus unfuse(Session& session, UnfuseArguments const& arguments) {
  expect_path("--fused", arguments.fused);
  expect_path("--undo", arguments.undo);
  expect_path("--out", arguments.out);
  expect_options(arguments);
  io::Checkpoint const fused(arguments.fused, arguments.read);
  session.warn_all(fused.warnings());
  checkpoints::FuseUndoFile const undo(arguments.undo);
  Record const& record = undo.record();
  std::deque<OpenAdapter> adapters;
  if (!arguments.remove.empty()) {
    adapters = remaining(arguments, record, removed(arguments, record));
  }
  expect_writable(arguments.out, {.file = {.force = arguments.force}});
  bool const again = !adapters.empty();
  checkpoints::StreamOptions const stream{.workers = session.threads(),
                                          .memory_budget = session.memory()};
  if (!session.options.dry_run) {
    session.will_write(arguments.out);
    if (again) {
      refuse(session, arguments, fused, undo, adapters, stream);
    } else {
      checkpoints::unfuse(fused, undo, arguments.out, {.force = arguments.force}, stream,
                          session.progress("unfuse"));
    }
  }
  std::string out = fmt::format(
      "{}: {}{}\n", dashi::escaped(arguments.out), session.options.dry_run ? "would be " : "",
      again
          ? fmt::format("the base with {} of {} adapters", adapters.size(), record.adapters.size())
          : "the base, byte for byte");
  for (OpenAdapter const& adapter : adapters) {
    out += row("adapter", fmt::format("{} at strength {}", dashi::escaped(short_name(adapter.path)),
                                      text(adapter.strength)));
  }
  out += row("base digest", record.base);
  session.say(out);
  Json object{{"verb", "unfuse"},
              {"fused", arguments.fused},
              {"undo", arguments.undo},
              {"output", arguments.out},
              {"base_digest", record.base},
              {"changed", undo.changed_count()},
              {"adapters", adapters_json(adapters)}};
  if (session.options.dry_run) {
    object["dry_run"] = true;
  }
  session.report(object);
  return dashi::ExitStatus::success;
}

}  // namespace

void add_unfuse(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<UnfuseArguments>();
  CLI::App* const verb =
      add_verb(app, "unfuse", "take adapters out of a fused checkpoint: its base, byte for byte",
               "  dashi unfuse --fused fused.safetensors --undo fused.undo.safetensors --out "
               "base.safetensors\n"
               "  dashi unfuse --fused fused.safetensors --undo fused.undo.safetensors --remove "
               "a.safetensors --adapter b.safetensors --out b_alone.safetensors");
  verb->add_option("--fused", arguments->fused, "what dashi fuse --undo wrote, unchanged")
      ->required();
  verb->add_option("--undo", arguments->undo, "the undo file of that fusion")->required();
  verb->add_option("--out", arguments->out,
                   "the file to write; of a base of shards its index, named as it was")
      ->required();
  verb->add_option("--remove", arguments->remove,
                   "take only this adapter out: the base comes back and the others, each given\n"
                   "with --adapter, are fused again, in their order, with their strengths");
  add_applied_adapters(*verb, arguments->rest, "FILE of an adapter that stays", false);
  verb->add_option("--new-undo", arguments->new_undo, "with --remove: an undo file of the result");
  add_force(*verb, arguments->force);
  add_read_options(*verb, arguments->read);
  on_verb(*verb, session, arguments, unfuse);
}

}  // namespace cli
