// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "run_folder.hpp"
#include "session.hpp"
#include "train_config.hpp"
#include "training_data.hpp"

#include <dashi/backbones/dit_config.hpp>
#include <dashi/backbones/factorised_layout.hpp>
#include <dashi/diffusion/chain_of_forgetting.hpp>
#include <dashi/diffusion/uniform_steps.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/dialects/read_dit.hpp>
#include <dashi/training/run_identity.hpp>

#include <memory>
#include <optional>

namespace cli {

/// Uniform steps, or the chain of forgetting: chosen when the program runs.
struct ChosenPolicy {
  std::optional<dashi::diffusion::ChainOfForgetting> chain;

  double frequency(dashi::diffusion::BatchPart part, dashi::Index step, dashi::Index steps) const {
    return chain ? chain->frequency(part, step, steps)
                 : dashi::diffusion::UniformSteps{}.frequency(part, step, steps);
  }
  double loss_weight(dashi::diffusion::BatchPart part, dashi::Index step,
                     dashi::Index steps) const {
    return chain ? chain->loss_weight(part, step, steps)
                 : dashi::diffusion::UniformSteps{}.loss_weight(part, step, steps);
  }
  dashi::Index source_samples(dashi::Index batch) const {
    return chain ? chain->source_samples(batch) : 0;
  }
};

struct AdapterRun;

/// A training, everything decided but the types of its numbers.
struct TrainRun {
  TrainConfig config;
  std::filesystem::path config_path;
  RunFolder folder;
  dashi::DitConfig dit;
  dashi::io::DitVariant variant;
  std::optional<dashi::FactorisedLayout> layout;  ///< of a model in factors
  std::unique_ptr<dashi::io::Checkpoint> base;    ///< null: a new model
  dashi::io::DitModel base_model;
  std::shared_ptr<AdapterRun const> adapter;  ///< null: the model itself is trained
  ChosenImages data;
  std::optional<ChosenImages> validation;
  std::optional<ChosenImages> source;
  dashi::training::TrainOptions options;
  ChosenPolicy policy;
  dashi::training::RunIdentity identity;
  std::string base_digest;  ///< io::checkpoint_digest; empty without a base
  dashi::Index steps = 0;
  bool resume = false;
  bool allow_drift = false;
};

// One file each; "_shards": with the same bits on any number of threads.
dashi::ExitStatus train_float32(Session& session, TrainRun& run);
dashi::ExitStatus train_float32_factors(Session& session, TrainRun& run);
dashi::ExitStatus train_float32_shards(Session& session, TrainRun& run);
dashi::ExitStatus train_bf16(Session& session, TrainRun& run);
dashi::ExitStatus train_bf16_factors(Session& session, TrainRun& run);
dashi::ExitStatus train_bf16_shards(Session& session, TrainRun& run);
dashi::ExitStatus train_float16(Session& session, TrainRun& run);
dashi::ExitStatus train_float16_shards(Session& session, TrainRun& run);

/// What a file of a model says of where it comes from.
std::map<std::string, std::string> model_metadata(TrainRun const& run, dashi::Index step,
                                                  bool average);

/// Where a training leaves its model in a folder.
inline std::filesystem::path model_path(std::filesystem::path const& folder, bool average) {
  return folder / (average ? "ema.safetensors" : "model.safetensors");
}

/// What --dry-run found.
struct TrainPlan {
  dashi::Index parameters = 0;  ///< of the model, with its adapters
  dashi::Index trained = 0;
  std::string memory_lines;
  std::size_t memory = 0;
  double seconds_a_step = 0;
};

/// Pictures of a preview, with what they were made of.
void write_preview(TrainRun const& run, dashi::Index step, std::vector<std::int64_t> const& labels,
                   std::vector<float> images);

/// The plan of --dry-run, for people and as JSON.
void report_plan(Session& session, TrainRun const& run, TrainPlan const& plan);

/// What came out.
struct TrainResult {
  dashi::Index step = 0;
  dashi::Index first = 0;  ///< steps that were done before
  double loss = 0;
  double seconds = 0;
  bool stopped = false;
};
dashi::ExitStatus report_end(Session& session, TrainRun const& run, TrainResult const& result);

}  // namespace cli
