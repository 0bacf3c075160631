// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "arguments.hpp"
#include "output_argument.hpp"

#include <dashi/io/input_file.hpp>
#include <dashi/merging/mean_options.hpp>
#include <dashi/merging/merge_plan.hpp>
#include <dashi/merging/publish_plan.hpp>
#include <dashi/merging/stream_tensors.hpp>

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
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
void add_mean_dtype(CLI::App& verb, std::optional<std::string>& dtype);

/// IoError (73) when the output's folder is missing or the output is there and is not to be
/// replaced: what the writer would say, before anything is read.
void expect_writable(std::filesystem::path const& output, dashi::io::CheckpointOutput const& how);

/// What publishing a mean takes, known before it starts.
struct PlannedWork {
  std::uint64_t bytes_to_read = 0;
  std::uint64_t bytes_to_write = 0;
  std::uint64_t chunks = 0;  ///< what a thread does at a time
  int threads = 1;
  std::uint64_t peak_memory = 0;  ///< bytes of buffers
};
PlannedWork work_of(dashi::merging::MergePlan const& plan);

/// A guess of the time: all bytes at the rate at which a part of an input could be read just now.
struct TimeEstimate {
  double seconds = 0;
  double rate = 0;           ///< bytes per second
  std::uint64_t probed = 0;  ///< bytes that were read for it; 0: the rate is an assumption
};
/// Reads at most 32 MiB of `sample`, spread over all of it, for at most a fifth of a second.
TimeEstimate estimate(PlannedWork const& work, dashi::io::InputFile const& sample);

/// The work for people, one row for each number.
std::string text_of(PlannedWork const& work, TimeEstimate const& time, Session const& session);
/// The same for machines, into an object.
void add_work(Json& object, PlannedWork const& work);
void add_time(Json& object, TimeEstimate const& time);

/// The plan for people: members and weights, matches, dtypes, work.
std::string text_of(dashi::merging::MergePlan const& plan, std::filesystem::path const& output,
                    TimeEstimate const& time, Session const& session);
/// The same for machines; without the time.
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
