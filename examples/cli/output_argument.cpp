// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "output_argument.hpp"

#include "arguments.hpp"
#include "failure.hpp"

#include <dashi/io/checkpoint_path.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/shard_plan.hpp>

#include <filesystem>

namespace cli {

namespace io = dashi::io;
namespace checkpoints = dashi::checkpoints;

io::CheckpointOutput OutputArgument::checked() const {
  expect_path("OUT", path);
  io::CheckpointOutput output;
  output.file.force = force;
  if (!shard_size.empty()) {
    output.largest_shard = size_argument("--shard-size", shard_size);
  } else if (io::is_index_name(std::filesystem::path(path).filename().string())) {
    usage_error("index-for-one-file", "the output " + io::in_quotes(path) + " for one file",
                "a name that ends in .safetensors", "give --shard-size for shards with an index");
  }
  return output;
}

namespace {

void add_output(CLI::App& verb, char const* name, OutputArgument& output) {
  verb.add_option(name, output.path,
                  "the file to write; with shards, their name without the numbers")
      ->required();
  verb.add_option("--shard-size", output.shard_size,
                  "largest shard, such as 2GB; without it one file is written");
  add_force(verb, output.force);
}

}  // namespace

void add_output_argument(CLI::App& verb, OutputArgument& output) {
  add_output(verb, "OUT", output);
}
void add_named_output(CLI::App& verb, OutputArgument& output) { add_output(verb, "--out", output); }

checkpoints::ReshardResult planned_output(std::string const& path,
                                          std::vector<std::uint64_t> const& sizes,
                                          io::CheckpointOutput const& output) {
  std::size_t const shards =
      output.largest_shard ? io::split_into_shards(sizes, *output.largest_shard).size() : 1;
  std::filesystem::path const out(path);
  return {shards == 1 ? io::single_file_path(out)
                      : out.parent_path() / io::index_file_name(io::checkpoint_stem(out)),
          shards};
}

void warn_of_unshared_metadata(Session& session, io::Checkpoint const& checkpoint) {
  if (auto const keys = checkpoints::unshared_metadata(checkpoint); !keys.empty()) {
    session.warn(checkpoint.path().string() +
                 ": metadata that is not the same in all shards is left out: " + io::listing(keys));
  }
}

}  // namespace cli
