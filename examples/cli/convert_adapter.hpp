// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "adapter_report.hpp"
#include "output_argument.hpp"
#include "session.hpp"

#include <dashi/io/read_options.hpp>

#include <CLI/CLI.hpp>

#include <string>

namespace cli {

/// What `convert` is told about an adapter.
struct ConvertAdapterArguments {
  std::string base;
  AdapterArguments adapter;

  bool any() const { return !base.empty() || adapter.any(); }
};
void add_convert_adapter_options(CLI::App& verb, ConvertAdapterArguments& arguments);

/// Whether the words of --to and the file mean an adapter and not a DiT: 'diffusers' is both.
bool converts_adapter(std::string const& to, std::string const& input,
                      dashi::io::ReadOptions const& read);

/// `convert ADAPTER OUT --to DIALECT`.
dashi::ExitStatus convert_adapter(Session& session, std::string const& input,
                                  OutputArgument const& output, std::string const& to,
                                  ConvertAdapterArguments const& arguments,
                                  dashi::io::ReadOptions const& read);

}  // namespace cli
