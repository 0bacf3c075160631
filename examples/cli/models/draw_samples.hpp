// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "dit_argument.hpp"
#include "dit_runner.hpp"
#include "sampling_options.hpp"
#include "session.hpp"

#include <CLI/CLI.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace cli {

/// The options of the verbs that draw samples.
struct SamplingArgument {
  std::string sampler = "ddim";
  std::int64_t steps = 50;
  double eta = 0;
  double guidance = 4;
  bool clip = false;
  std::int64_t batch = 0;  ///< 0: as many as the memory lets, at most 64
  std::vector<std::int64_t> classes;
  bool null_label = false;
};
void add_sampling_options(CLI::App& verb, SamplingArgument& argument);

/// For a model that is open; UsageError for steps that its process lacks and classes that it lacks.
SamplingOptions sampling_options(Session const& session, SamplingArgument const& argument,
                                 OpenDit const& dit);

/// One label a sample: the classes asked for, or all, in turn; or the null label.
std::vector<std::int64_t> labels_of(SamplingArgument const& argument, OpenDit const& dit,
                                    std::size_t count);

/// Samples of a batch that fit the memory; what --batch says goes before.
dashi::Index batch_of(Session const& session, SamplingArgument const& argument,
                      SamplingOptions const& options, DitRunner& runner, std::size_t count);

/// States of all samples at some steps, the noisiest first.
struct Trajectory {
  std::size_t most = 8;  ///< steps that are kept
  std::vector<dashi::Index> timesteps{};
  std::vector<std::vector<float>> x{};   ///< at each of them [count, channels, height, width]
  std::vector<std::vector<float>> x0{};  ///< the x_0 that was predicted there
};

/// [labels, channels * height * width], with a bar. trajectory: null for none.
std::vector<float> draw_samples(Session& session, DitRunner& runner, SamplingOptions const& options,
                                std::span<std::int64_t const> labels, std::size_t image_size,
                                dashi::Index batch, Trajectory* trajectory = nullptr);

/// What decides the bits of samples, for metadata and --json.
Json sampling_json(SamplingOptions const& options, DitArgument const& argument, OpenDit const& dit);

}  // namespace cli
