// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "session.hpp"

#include <dashi/io/dtype.hpp>
#include <dashi/io/read_options.hpp>
#include <dashi/merging/decimal_weight.hpp>
#include <dashi/merging/mean_options.hpp>

#include <CLI/CLI.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cli {

/// A verb with its example in the help, and options that may come before or after it.
CLI::App* add_verb(CLI::App& app, std::string const& name, std::string const& summary,
                   std::string const& examples);

/// What `action(arguments)` does when the verb is named. The arguments live as long as the program.
template <class Arguments, class Action>
void on_verb(CLI::App& verb, Session& session, std::shared_ptr<Arguments> arguments,
             Action action) {
  verb.callback([&session, arguments = std::move(arguments), action] {
    session.action = [&session, arguments, action] { return action(session, *arguments); };
  });
}

void add_read_options(CLI::App& verb, dashi::io::ReadOptions& options);

/// How numbers that have no place in the result are treated, and whether outputs are replaced.
struct OutputArguments {
  bool force = false;
};
void add_force(CLI::App& verb, bool& force);

struct NumberArguments {
  std::string nonfinite = "error";
  bool saturate = false;

  bool propagate() const { return nonfinite == "propagate"; }
};
void add_number_options(CLI::App& verb, NumberArguments& arguments);
dashi::merging::OverflowPolicy overflow_policy(NumberArguments const& arguments);

/// FILE=WEIGHT, split at the last '='; without one the weight is 1.
struct WeightedPath {
  std::string path;
  dashi::merging::DecimalWeight weight{};
};
WeightedPath split_weight(std::string const& text);

/// f16, fp16, float16, half, ... or the format's own spelling; UsageError for anything else.
dashi::io::Dtype dtype_argument(std::string_view text);
/// The same, and `same` for no change.
std::optional<dashi::io::Dtype> mean_dtype_argument(std::string_view text);
/// "F16" as "f16".
std::string lower_name(dashi::io::Dtype dtype);

std::uint64_t size_argument(std::string const& option, std::string const& text);

/// UsageError for an empty path, which would name the working directory.
void expect_path(std::string const& what, std::string const& path);

/// The candidate with the least edits from `word`, if it is near enough to be what was meant.
std::string nearest(std::string const& word, std::vector<std::string> const& candidates);

}  // namespace cli
