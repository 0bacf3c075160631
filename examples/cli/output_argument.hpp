// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "session.hpp"

#include <dashi/checkpoints/reshard.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/checkpoint_writer.hpp>

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace cli {

/// OUT, --shard-size and --force of the verbs that write a checkpoint from another.
struct OutputArgument {
  std::string path;
  std::string shard_size;
  bool force = false;

  /// UsageError for an empty path, a size that is none, or an index's name for one file.
  dashi::io::CheckpointOutput checked() const;
};
void add_output_argument(CLI::App& verb, OutputArgument& output);
/// The same with --out OUT, for verbs with any number of inputs.
void add_named_output(CLI::App& verb, OutputArgument& output);

/// What writing tensors of these sizes would give.
dashi::checkpoints::ReshardResult planned_output(std::string const& path,
                                                 std::vector<std::uint64_t> const& sizes,
                                                 dashi::io::CheckpointOutput const& output);

/// Shards may disagree on metadata, one output cannot: a warning names what is left out.
void warn_of_unshared_metadata(Session& session, dashi::io::Checkpoint const& checkpoint);

}  // namespace cli
