// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "adapter_report.hpp"
#include "session.hpp"

#include <dashi/checkpoints/fuse_plan.hpp>
#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/adapters/adapter_resolution.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/file_identity.hpp>
#include <dashi/merging/decimal_weight.hpp>

#include <CLI/CLI.hpp>

#include <deque>
#include <string>
#include <vector>

namespace cli {

/// The options of verbs that take adapters of a base.
struct AppliedAdapters {
  std::vector<std::string> adapters;  ///< FILE=STRENGTH
  AdapterArguments how;
};
void add_applied_adapters(CLI::App& verb, AppliedAdapters& arguments, std::string const& help,
                          bool required = true);

/// An adapter that was read.
struct OpenAdapter {
  std::string path;
  dashi::merging::DecimalWeight strength{};
  dashi::io::AdapterFile file;
  dashi::io::AdapterResolution places;  ///< in the base
  std::string digest;
};

/// Reads adapters; FILE is a safetensors file or PEFT's directory. They must stay where they are
/// while plans look at them.
std::deque<OpenAdapter> read_adapters(AppliedAdapters const& arguments,
                                      dashi::io::ReadOptions const& read);
/// Finds their places in a base. FormatError (65) for what has none, for an adapter that says it
/// was made for another base.
void resolve_adapters(Session& session, std::deque<OpenAdapter>& adapters,
                      dashi::io::Checkpoint const& base);
/// For plan_fusion().
std::vector<dashi::checkpoints::FuseAdapter> fuse_adapters(std::deque<OpenAdapter> const& adapters);

/// The files that no output may be.
std::vector<dashi::io::FileIdentity> identities(std::deque<OpenAdapter> const& adapters);

/// Name of a file or directory without its folder, for provenance.
std::string short_name(std::string const& path);

/// "  m  scale 0.5 (alpha 4 / rank 8) -> w [0, 8)" for every module, with its strength.
std::string module_table(dashi::checkpoints::FusePlan const& plan);
Json modules_json(dashi::checkpoints::FusePlan const& plan);
Json adapters_json(std::deque<OpenAdapter> const& adapters);

}  // namespace cli
