// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "adapter_argument.hpp"

#include "failure.hpp"

#include <dashi/checkpoints/net_adapters.hpp>

#include <fmt/format.h>

#include <utility>

namespace cli {

void add_adapters_beside(CLI::App& verb, AppliedAdapters& arguments) {
  add_applied_adapters(verb, arguments,
                       "FILE or FILE=STRENGTH: an adapter beside the weights; may be repeated, "
                       "later ones act on what\nearlier ones give",
                       false);
}

OpenAdapters open_adapters(Session& session, AppliedAdapters const& arguments, OpenDit const& dit) {
  if (dit.layout) {
    if (!arguments.adapters.empty()) {
      usage_error("option-of-another-kind", "--adapter for a factorised model", "a dense one",
                  "dashi recombine --dense makes one");
    }
    return {};
  }
  auto net = std::make_shared<dashi::checkpoints::NetAdapters>(dit.config, dit.model);
  OpenAdapters out;
  std::deque<OpenAdapter> adapters = read_adapters(arguments, {});
  resolve_adapters(session, adapters, *dit.checkpoint);
  session.end_progress();
  out.about = adapters_json(adapters);
  auto const applied = fuse_adapters(adapters);
  for (std::size_t i = 0; i < applied.size(); ++i) {
    net->add(*applied[i].file, applied[i].targets, applied[i].factor());
    out.about[i]["file"] = adapters[i].path;
    out.about[i]["strength"] = applied[i].factor();
    auto const& ignored = adapters[i].file.ignored;
    if (!ignored.empty()) {
      session.warn(
          fmt::format("{}: {} keys are ignored", dashi::escaped(adapters[i].path), ignored.size()));
    }
  }
  out.net = std::move(net);
  return out;
}

}  // namespace cli
