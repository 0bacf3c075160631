// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "session.hpp"

#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/adapters/adapter_read_options.hpp>

#include <nlohmann/json.hpp>

#include <CLI/CLI.hpp>

#include <cstddef>
#include <optional>
#include <string>

namespace cli {

/// How verbs are told to read an adapter.
struct AdapterArguments {
  std::vector<std::string> ignore;
  double alpha = 0;
  bool any_scale = false;
  bool any_base = false;

  bool any() const { return !ignore.empty() || alpha != 0 || any_scale || any_base; }
  dashi::io::AdapterReadOptions options(dashi::io::ReadOptions const& read) const;
};
/// --ignore, --alpha and --any-scale.
void add_adapter_options(CLI::App& verb, AdapterArguments& arguments);
/// --any-base too, for verbs that are given a base.
void add_based_adapter_options(CLI::App& verb, AdapterArguments& arguments);

/// What --to calls the dialects of adapters; nothing for another word.
std::optional<dashi::io::Dialect> adapter_dialect(std::string const& word);

/// The modules as rows of a report: name, form, scale and its reason. `limit`: modules shown.
std::string adapter_rows(dashi::io::AdapterFile const& adapter, std::size_t limit);
Json adapter_json(dashi::io::AdapterFile const& adapter);

}  // namespace cli
