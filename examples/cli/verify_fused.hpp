// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "applied_adapters.hpp"
#include "session.hpp"

#include <dashi/io/read_options.hpp>

#include <CLI/CLI.hpp>

#include <string>

namespace cli {

/// Options of `dashi verify` for a fused checkpoint.
struct FusedArguments {
  std::string fused;
  std::string base;
  AppliedAdapters adapters;
  double ulp = 0.5;

  bool any() const { return !fused.empty() || !base.empty() || !adapters.adapters.empty(); }
};
void add_fused_options(CLI::App& verb, FusedArguments& arguments);

/// Whether a checkpoint is its base with the adapters, module by module; negative when it is not.
dashi::ExitStatus verify_fused(Session& session, FusedArguments const& arguments,
                               dashi::io::ReadOptions const& read);

}  // namespace cli
