// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "train_run.hpp"

#include <dashi/checkpoints/adapter_choice.hpp>
#include <dashi/io/adapters/adapter_file.hpp>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cli {

/// What is trained on the frozen base of a training, and on which maps.
struct AdapterRun {
  dashi::checkpoints::AdapterChoice choice;
  std::vector<dashi::checkpoints::MapAdapter> adapters;
};

/// Null where the configuration has none. Throws ConfigurationError for modules that match nothing.
std::shared_ptr<AdapterRun const> adapter_run(TrainRun const& run);

/// As the folder that PEFT writes, or dashi's own file in one where PEFT has no such adapter.
void write_trained_adapter(Session& session, TrainRun const& run,
                           std::filesystem::path const& folder, dashi::io::AdapterFile adapter,
                           std::map<std::string, std::string> metadata);

}  // namespace cli
