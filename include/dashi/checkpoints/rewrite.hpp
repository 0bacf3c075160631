// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/checkpoint_path.hpp>
#include <dashi/io/file_identity.hpp>
#include <dashi/io/input_file.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/shard_plan.hpp>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace dashi::checkpoints {

/// Every file that a checkpoint is read from, its index included; no output may be one of them.
inline std::vector<io::FileIdentity> input_identities(io::Checkpoint const& checkpoint) {
  std::vector<io::FileIdentity> inputs;
  for (io::SafetensorsFile const& file : checkpoint.files()) {
    inputs.push_back(file.file().identity());
  }
  if (checkpoint.is_sharded()) {
    inputs.push_back(io::InputFile(io::resolve_checkpoint_path(checkpoint.path())).identity());
  }
  return inputs;
}

/// Metadata keys that some shards have and others lack or have otherwise: a checkpoint has no one
/// value for them.
inline std::vector<std::string> unshared_metadata(io::Checkpoint const& checkpoint) {
  std::set<std::string> keys;
  for (io::SafetensorsFile const& file : checkpoint.files()) {
    for (auto const& [key, value] : file.header().metadata) {
      if (!checkpoint.metadata().contains(key)) {
        keys.insert(key);
      }
    }
  }
  return {keys.begin(), keys.end()};
}

/// FormatError for a soup's ledger, whose sums mean something only in the file that dashi soup
/// wrote.
inline void expect_no_ledger(io::Checkpoint const& checkpoint) {
  if (checkpoint.metadata().contains("dashi.ledger")) {
    throw FormatError({.code = "is-a-ledger",
                       .file = checkpoint.path().string(),
                       .place = "metadata 'dashi.ledger'",
                       .found = "the ledger of a soup",
                       .expected = "a checkpoint",
                       .advice = "dashi soup publish writes the checkpoint of a soup"});
  }
}

}  // namespace dashi::checkpoints
