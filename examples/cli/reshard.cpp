// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "arguments.hpp"
#include "output_argument.hpp"
#include "verbs.hpp"

#include <dashi/checkpoints/reshard.hpp>
#include <dashi/io/byte_size.hpp>
#include <dashi/io/checkpoint.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace cli {

namespace {

namespace io = dashi::io;
namespace checkpoints = dashi::checkpoints;

struct ReshardArguments {
  std::string input;
  OutputArgument output;
  io::ReadOptions read;
};

std::string counted(std::size_t shards) {
  return shards == 1 ? "one file" : std::to_string(shards) + " shards and an index";
}

dashi::ExitStatus reshard(Session& session, ReshardArguments const& arguments) {
  expect_path("IN", arguments.input);
  io::CheckpointOutput const output = arguments.output.checked();
  io::Checkpoint const checkpoint(arguments.input, arguments.read);
  session.warn_all(checkpoint.warnings());
  warn_of_unshared_metadata(session, checkpoint);
  checkpoints::ReshardResult result;
  if (session.options.dry_run) {
    checkpoints::expect_no_ledger(checkpoint);
    std::vector<std::uint64_t> sizes;
    for (io::TensorSpec const& spec : checkpoints::specs_of(checkpoint)) {
      sizes.push_back(io::tensor_bytes(spec, arguments.input));
    }
    result = planned_output(arguments.output.path, sizes, output);
  } else {
    session.will_write(arguments.output.path);
    result = checkpoints::reshard(checkpoint, arguments.output.path, output,
                                  {.workers = session.threads(), .memory_budget = session.memory()},
                                  session.progress("reshard"));
  }
  session.say(
      fmt::format("{}: {}{}, {} tensors, {}, from {}\n", dashi::escaped(result.path.string()),
                  session.options.dry_run ? "would be " : "", counted(result.shards),
                  grouped(checkpoint.tensors().size()), io::format_bytes(checkpoint.bytes()),
                  counted(checkpoint.files().size())));
  Json object{{"verb", "reshard"},
              {"input", arguments.input},
              {"output", result.path.string()},
              {"shards", result.shards},
              {"input_shards", checkpoint.files().size()},
              {"tensors", checkpoint.tensors().size()},
              {"bytes", checkpoint.bytes()}};
  if (session.options.dry_run) {
    object["dry_run"] = true;
  }
  session.report(object);
  return dashi::ExitStatus::success;
}

}  // namespace

void add_reshard(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<ReshardArguments>();
  CLI::App* const verb =
      add_verb(app, "reshard", "write a checkpoint as shards with an index, or as one file",
               "  dashi reshard model.safetensors out/model.safetensors --shard-size 2GB\n"
               "  dashi reshard out/model.safetensors.index.json single.safetensors");
  verb->add_option("IN", arguments->input,
                   "safetensors file, index, or directory with one of either")
      ->required();
  add_output_argument(*verb, arguments->output);
  add_read_options(*verb, arguments->read);
  on_verb(*verb, session, arguments, reshard);
}

}  // namespace cli
