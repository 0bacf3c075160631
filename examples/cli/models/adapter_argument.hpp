// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "dit_argument.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <memory>
#include <string>
#include <vector>

namespace dashi::checkpoints {
class NetAdapters;
}

namespace cli {

/// Adapters of the verbs that run a DiT: FILE or FILE=STRENGTH, in the order in which they act.
struct AdapterArgument {
  std::vector<std::string> files;
  std::vector<std::string> ignore;
};
void add_adapter_options(CLI::App& verb, AdapterArgument& argument);

/// What runs beside the weights, and what was read.
struct OpenAdapters {
  std::shared_ptr<dashi::checkpoints::NetAdapters const> net;  ///< never null
  Json about = Json::array();                                  ///< file, strength, dialect, modules
};

/// Throws FormatError for adapters that do not fit the model or were made for another, UsageError
/// for a strength that is no number.
OpenAdapters open_adapters(Session& session, AdapterArgument const& argument, OpenDit const& dit);

}  // namespace cli
