// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "applied_adapters.hpp"
#include "dit_argument.hpp"

#include <nlohmann/json.hpp>

#include <memory>

namespace dashi::checkpoints {
class NetAdapters;
}

namespace cli {

/// --adapter and what goes with it, for the verbs that run a DiT.
void add_adapters_beside(CLI::App& verb, AppliedAdapters& arguments);

/// What runs beside the weights, and what was read.
struct OpenAdapters {
  std::shared_ptr<dashi::checkpoints::NetAdapters const> net;  ///< never null
  Json about = Json::array();                                  ///< file, strength, dialect, modules
};

/// Throws FormatError for adapters that do not fit the model or were made for another, UsageError
/// for a strength that is no number.
OpenAdapters open_adapters(Session& session, AppliedAdapters const& arguments, OpenDit const& dit);

}  // namespace cli
