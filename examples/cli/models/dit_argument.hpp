// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "sampling_options.hpp"
#include "session.hpp"

#include <dashi/backbones/dit_config.hpp>
#include <dashi/backbones/factorised_layout.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/dialects/read_dit.hpp>
#include <dashi/io/read_options.hpp>

#include <CLI/CLI.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace cli {

/// MODEL of the verbs that run a DiT, and what its file may not tell.
struct DitArgument {
  std::string path;
  std::int64_t heads = 0;
  std::string input_size;
  std::string time_embed;
  std::string cfg_channels;
  std::string variance;
  std::string embedders;
  std::string schedule;
  std::string precision = "float32";
  std::string class_weights;  ///< "auto", "dense", "factors", or empty: as auto
  bool no_digest = false;
  dashi::io::ReadOptions read;
};
void add_dit_argument(CLI::App& verb, DitArgument& argument);
void add_dit_options(CLI::App& verb, DitArgument& argument);

/// A DiT on disk that can be run.
struct OpenDit {
  std::unique_ptr<dashi::io::Checkpoint> checkpoint;
  dashi::io::DitModel model;
  std::optional<dashi::FactorisedLayout> layout;  ///< of a factorised one
  dashi::DitConfig config;
  ProcessOptions process;

  std::uint64_t parameters() const;
};

/// A DiT in either names, or factorised. Throws FormatError for what is no whole DiT, and for
/// embedders that differ where one is asked for; UsageError for options of another kind of file.
OpenDit open_dit(Session& session, DitArgument const& argument);

/// Content digest of the file, or empty with --no-digest.
std::string digest_of(Session& session, DitArgument const& argument, OpenDit const& dit);

}  // namespace cli
