// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "output_argument.hpp"
#include "session.hpp"

#include <dashi/io/read_options.hpp>

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>

namespace cli {

/// What `convert` is told about names.
struct NameArguments {
  std::string to;  ///< "dit", "diffusers", or empty: names stay
  std::int64_t heads = 0;
  std::string input_size;
  bool drop_positions = false;

  bool any() const { return heads != 0 || !input_size.empty() || drop_positions; }
};
void add_name_options(CLI::App& verb, NameArguments& arguments);

/// `convert IN OUT --to NAMES`.
dashi::ExitStatus convert_names(Session& session, std::string const& input,
                                OutputArgument const& output, NameArguments const& names,
                                dashi::io::ReadOptions const& read, bool with_digest);

}  // namespace cli
