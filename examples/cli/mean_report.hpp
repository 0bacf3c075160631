// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "arguments.hpp"
#include "output_argument.hpp"

#include <dashi/merging/mean_options.hpp>
#include <dashi/merging/merge_plan.hpp>
#include <dashi/merging/publish_plan.hpp>
#include <dashi/merging/stream_tensors.hpp>

#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>

namespace cli {

/// Options of the verbs that publish a mean.
struct MeanArguments {
  std::string dtype = "same";
  bool strict_dtype = false;
  bool allow_duplicate = false;
  NumberArguments numbers;
  dashi::io::ReadOptions read;

  dashi::merging::MergeOptions options(Session const& session) const;
};
void add_mean_dtype(CLI::App& verb, MeanArguments& arguments);

/// IoError (73) when the output's folder is missing or the output is there and is not to be
/// replaced: what the writer would say, before anything is read.
void expect_writable(std::filesystem::path const& output, dashi::io::CheckpointOutput const& how);

/// The plan for people: members and weights, matches, dtypes, bytes, memory.
std::string text_of(dashi::merging::MergePlan const& plan, std::filesystem::path const& output,
                    Session const& session);
/// The same for machines.
Json json_of(dashi::merging::MergePlan const& plan, std::filesystem::path const& output);

/// Warns of numbers that were let through, and gives the counts.
Json counts_of(Session& session, dashi::merging::MergeResult const& result, bool saturate);

/// Publishing means reading everything once: says how long that took.
class Stopwatch {
public:
  double seconds() const;

private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};
std::string rate_text(std::uint64_t bytes, double seconds);

}  // namespace cli
