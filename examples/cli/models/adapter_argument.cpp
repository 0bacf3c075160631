// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "adapter_argument.hpp"

#include "arguments.hpp"
#include "failure.hpp"

#include <dashi/checkpoints/net_adapters.hpp>
#include <dashi/io/adapters/check_base_digest.hpp>
#include <dashi/io/adapters/read_adapter.hpp>
#include <dashi/io/adapters/resolve_adapter.hpp>

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <system_error>

namespace cli {

namespace io = dashi::io;

void add_adapter_options(CLI::App& verb, AdapterArgument& argument) {
  verb.add_option("--adapter", argument.files,
                  "FILE or FILE=STRENGTH: an adapter beside the weights; may be repeated, later "
                  "ones act on what earlier ones give")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  verb.add_option("--ignore", argument.ignore,
                  "leave out keys of adapters in which this expression is found; may be repeated")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

namespace {

struct Named {
  std::string file;
  double strength = 1;
};

/// A name that exists is a file, whatever it holds; else the strength is behind the last '='.
Named named(std::string const& text) {
  std::error_code error;
  auto const at = text.rfind('=');
  if (at == std::string::npos || std::filesystem::exists(text, error)) {
    return {text};
  }
  Named out{text.substr(0, at)};
  char const* const end = text.data() + text.size();
  auto const [stop, code] = std::from_chars(text.data() + at + 1, end, out.strength);
  if (code != std::errc() || stop != end || !std::isfinite(out.strength)) {
    usage_error("bad-strength", "--adapter " + io::in_quotes(text),
                "a number behind '=', such as adapter.safetensors=0.5");
  }
  return out;
}

}  // namespace

OpenAdapters open_adapters(Session& session, AdapterArgument const& argument, OpenDit const& dit) {
  if (dit.layout) {
    if (!argument.files.empty()) {
      usage_error("option-of-another-kind", "--adapter for a factorised model", "a dense one",
                  "dashi recombine --dense makes one");
    }
    return {};
  }
  auto net = std::make_shared<dashi::checkpoints::NetAdapters>(dit.config, dit.model);
  OpenAdapters out;
  std::string digest;
  auto const base = io::adapter_base(*dit.checkpoint);
  for (std::string const& text : argument.files) {
    auto const [file, strength] = named(text);
    expect_path("--adapter", file);
    io::AdapterFile const adapter = io::read_adapter(file, {.ignore = argument.ignore});
    io::check_base_digest(adapter, *dit.checkpoint, digest,
                          static_cast<std::size_t>(session.threads()), session.progress("digest"));
    session.end_progress();
    auto const resolution = io::resolve_adapter(adapter, base);
    net->add(adapter, resolution.targets, strength);
    Json about{{"file", file},
               {"strength", strength},
               {"dialect", name(adapter.dialect)},
               {"modules", adapter.modules.size()}};
    if (!adapter.ignored.empty()) {
      session.warn(
          fmt::format("{}: {} keys are ignored", dashi::escaped(file), adapter.ignored.size()));
      about["ignored"] = adapter.ignored;
    }
    out.about.push_back(std::move(about));
  }
  out.net = std::move(net);
  return out;
}

}  // namespace cli
