// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "sampling_options.hpp"

#include <dashi/data/load_options.hpp>
#include <dashi/data/procedural_options.hpp>
#include <dashi/io/dialects/read_dit.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace cli {

/// A data set of a configuration.
struct DataConfig {
  std::string path{};  ///< empty: procedural
  dashi::data::LoadOptions load{};
  dashi::data::ProceduralOptions procedural{};
  std::size_t limit = 0;  ///< images, taken evenly; 0: all
};

/// The model of a configuration: new, or from a file.
struct ModelConfig {
  std::string from{};  ///< checkpoint that is fine-tuned; empty: a new model
  dashi::io::DitHints hints{};
  dashi::Index depth = 12;
  dashi::Index width = 384;
  dashi::Index heads = 6;
  dashi::Index patch = 2;
  double mlp_ratio = 4;
  bool learn_sigma = true;
  dashi::Index classes = 0;  ///< 0: the data set's
  std::string variant{};     ///< "original", "diffusers", or empty: as the file
  std::string embedders{};   ///< "shared", "per_block", or empty: as the file
  std::string precision = "float32";
  bool recompute = false;
};

struct ValidationConfig {
  std::optional<DataConfig> data{};  ///< of its own
  double share = 0;                  ///< of the training data, kept apart
  dashi::Index every = 0;            ///< steps; 0: none
  std::size_t images = 0;            ///< 0: all
};

struct ObjectiveConfig {
  std::string kind{};  ///< "mse", "mse+vb", or empty: as the model's outputs want
  std::string weighting = "plain";
  double gamma = 5;
  double k = 1;
};

struct MethodConfig {
  bool diff_tuning = false;
  double exponent = 1;
  double source_exponent = -1;  ///< below 0: exponent
  std::string bank{};
  double ratio = 0.2;
  double weight = 0.1;
  bool distillation = false;
};

/// What is trained on a frozen model; docs/training.md has the kinds.
struct AdapterConfig {
  std::string kind{};                  ///< "lora", "lokr", "krona", "difffit", "bitfit", or empty
  std::vector<std::string> modules{};  ///< roles and expressions; empty: the kind's own
  dashi::Index rank = 8;
  double alpha = 8;
  bool rank_stabilised = false;
  bool weight_decomposed = false;
  bool wd_on_output = true;  ///< norms over rows; else over columns
  dashi::Index factor = -1;
  std::vector<dashi::Index> factors{4, 64};
  bool decompose_both = false;
  dashi::Index blocks = -1;  ///< with DiffFit's scales; below 0: half
  bool class_table = false;

  bool given() const { return !kind.empty(); }
};

/// A model that is trained in singular vectors; docs/factorised.md.
struct FactorisedConfig {
  std::string method{};  ///< "kind", "fine", or empty: dense, or as the file
  std::optional<dashi::Index> learngene{}, tailors{}, rank{};
  dashi::Index groups = 0;  ///< of tailors; 0: as the list, or 2
  std::vector<dashi::Index> group_of_class{};
  std::string train{};       ///< "all", "tailors", "sigma", or empty: all
  bool class_table = false;  ///< trained with a part
};

struct OptimizerConfig {
  double lr = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double weight_decay = 0;
  double epsilon = 1e-8;
  std::string schedule = "constant";
  dashi::Index warmup = 0;
  double last_lr = 0;
  double clip = 0;
};

struct PreviewConfig {
  dashi::Index every = 0;  ///< steps; 0: never
  std::vector<dashi::Index> classes{};
  dashi::Index count = 16;
  dashi::Index steps = 50;
  double guidance = 4;
  bool average = false;  ///< of the averaged parameters
};

/// What `train` does, as its file says: docs/training.md describes each key.
struct TrainConfig {
  std::filesystem::path output;
  ModelConfig model;
  DataConfig data;
  ValidationConfig validation;
  ProcessOptions process;
  ObjectiveConfig objective;
  MethodConfig method;
  AdapterConfig adapter;
  FactorisedConfig factorised;
  OptimizerConfig optimizer;
  dashi::Index batch = 32;
  dashi::Index accumulate = 1;
  dashi::Index steps = 0;
  double ema = 0.9999;
  double label_dropout = 0.1;
  bool flip = false;
  std::uint64_t seed = 1;
  bool any_threads = false;
  dashi::Index shards = 4;
  dashi::Index checkpoint_every = 0;
  dashi::Index keep = 2;
  PreviewConfig preview;
  bool csv = false;
  std::string canonical;  ///< text that differs when what decides the result does
};

/// Throws ConfigurationError with line, found and expected.
TrainConfig read_train_config(std::filesystem::path const& file);

}  // namespace cli
