// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "adapter_run.hpp"
#include "arguments.hpp"
#include "factorised_run.hpp"
#include "failure.hpp"
#include "model_verbs.hpp"
#include "signals.hpp"
#include "train_run.hpp"
#include "verbs.hpp"

#include <dashi/checkpoints/dit_model.hpp>
#include <dashi/io/checkpoint_digest.hpp>
#include <dashi/io/digest.hpp>
#include <dashi/io/field_hash.hpp>
#include <dashi/training/batch_draw.hpp>

#include <fmt/format.h>

#include <cmath>

namespace cli {

namespace {

namespace io = dashi::io;
namespace checkpoints = dashi::checkpoints;
namespace training = dashi::training;

struct Arguments {
  std::string config;
  std::int64_t steps = 0;
  bool resume = false;
  bool allow_drift = false;
};

[[noreturn]] void refuse(std::string const& file, std::string key, std::string found,
                         std::string expected, std::string advice = {}) {
  throw dashi::ConfigurationError({.code = "config-value",
                                   .file = file,
                                   .place = std::move(key),
                                   .found = std::move(found),
                                   .expected = std::move(expected),
                                   .advice = std::move(advice)});
}

/// A new model for the data.
dashi::DitConfig new_model(TrainConfig const& config, ChosenImages const& data,
                           io::DitVariant& variant, std::string const& file) {
  ModelConfig const& m = config.model;
  variant = m.variant == "diffusers" ? io::DitVariant::diffusers() : io::DitVariant::original();
  variant.embedders =
      m.embedders == "per_block" ? io::DitEmbedders::per_block : io::DitEmbedders::shared;
  variant.learned_variance = m.learn_sigma;
  io::DitConfiguration c;
  c.depth = m.depth;
  c.width = m.width;
  c.heads = m.heads;
  c.mlp_width = static_cast<dashi::Index>(std::llround(m.mlp_ratio * static_cast<double>(m.width)));
  c.patch = m.patch;
  c.channels = data.shape().channels;
  c.learn_sigma = m.learn_sigma;
  c.classes = m.classes > 0 ? m.classes : data.classes();
  c.null_class = config.label_dropout > 0;
  c.input_height = data.shape().height;
  c.input_width = data.shape().width;
  if (c.input_height % c.patch != 0 || c.input_width % c.patch != 0) {
    refuse(file, "model.patch",
           fmt::format("{} for images of {} x {}", c.patch, c.input_height, c.input_width),
           "a divisor of both", "or give data.size and data.resize");
  }
  if (c.mlp_width < 1) {
    refuse(file, "model.mlp_ratio", short_number(m.mlp_ratio), "a hidden layer of 1 or more");
  }
  return checkpoints::dit_config(c, variant);
}

dashi::DitConfig open_base(Session& session, TrainRun& run, std::string const& file) {
  ModelConfig const& m = run.config.model;
  run.base = std::make_unique<io::Checkpoint>(m.from);
  session.warn_all(run.base->warnings());
  if (io::dialect(*run.base).dialect == io::Dialect::dit_factorised) {
    read_factorised_base(run);
  } else {
    run.base_model = checkpoints::read_dit_model(*run.base, m.hints);
  }
  if (run.base_model.heads_assumed) {
    session.warn(fmt::format("{}: {} heads are assumed from the width {}; model.heads says others",
                             m.from, run.base_model.configuration.heads,
                             run.base_model.configuration.width));
  }
  io::DitVariant& v = run.base_model.variant;
  if (!m.variant.empty()) {
    io::DitVariant const wanted =
        m.variant == "diffusers" ? io::DitVariant::diffusers() : io::DitVariant::original();
    v.time_divisor = wanted.time_divisor;
    v.norm_epsilon = wanted.norm_epsilon;
    v.guidance_channels = wanted.guidance_channels;
  }
  if (m.embedders == "shared" && v.embedders == io::DitEmbedders::per_block) {
    refuse(file, "model.embedders", "shared for a file with an embedder in every block",
           "per_block", "one copy of embedders that differ would be another model");
  }
  if (m.embedders == "per_block") {
    v.embedders = io::DitEmbedders::per_block;
  }
  run.variant = v;
  return checkpoints::dit_config(run.base_model.configuration, v);
}

void check_model(TrainRun const& run, std::string const& file) {
  auto const& config = run.config;
  bool const needs_null = config.label_dropout > 0 || config.method.diff_tuning;
  if (needs_null && !run.dit.null_class) {
    refuse(file, config.method.diff_tuning ? "method" : "label_dropout",
           "a model without a null class", "one that was trained with label dropout",
           config.method.diff_tuning ? "" : "set label_dropout: 0");
  }
  if (config.objective.kind == "mse" && run.dit.learn_sigma) {
    refuse(file, "diffusion.objective", "mse for a model that learns the variance", "mse+vb");
  }
  if (config.objective.kind == "mse+vb" && !run.dit.learn_sigma) {
    refuse(file, "diffusion.objective", "mse+vb for a model without variance", "mse");
  }
  for (dashi::Index const label : config.preview.classes) {
    if (label >= run.dit.classes) {
      refuse(file, "preview.classes", fmt::format("class {}", label),
             fmt::format("0 to {}, the classes of the model", run.dit.classes - 1));
    }
  }
}

/// Images and labels that the model cannot take are found before the first step.
void check_images(ChosenImages const& images, TrainRun const& run, bool labels) {
  training::expect_fitting(images, run.dit.shape());
  for (std::size_t i = 0; labels && i < images.size(); ++i) {
    (void)training::checked_label(images, i, run.dit.classes);
  }
}

training::TrainOptions options_of(TrainRun const& run) {
  TrainConfig const& config = run.config;
  OptimizerConfig const& o = config.optimizer;
  training::TrainOptions options;
  options.batch = config.batch;
  options.accumulate = config.accumulate;
  options.learning_rate =
      (o.schedule == "cosine" ? training::LearningRate::cosine(o.lr, run.steps, o.last_lr)
                              : training::LearningRate::constant(o.lr))
          .warmed_up(o.warmup);
  options.beta1 = o.beta1;
  options.beta2 = o.beta2;
  options.epsilon = o.epsilon;
  options.weight_decay = o.weight_decay;
  options.average_decay = config.ema;
  options.clip_norm = o.clip;
  options.label_dropout = config.label_dropout;
  options.flip = config.flip;
  options.seed = config.seed;
  options.objective.learned_range = run.dit.learn_sigma;
  using dashi::diffusion::Weighting;
  auto const& w = config.objective;
  options.objective.weighting = w.weighting == "min_snr"       ? Weighting::min_snr(w.gamma)
                                : w.weighting == "clipped_snr" ? Weighting::clipped_snr(w.gamma)
                                : w.weighting == "p2"          ? Weighting::p2(w.k, w.gamma)
                                                               : Weighting::plain();
  options.scaling.enabled = config.model.precision == "float16";
  return options;
}

void take_method(Session& session, TrainRun& run) {
  MethodConfig const& method = run.config.method;
  if (!method.diff_tuning) {
    return;
  }
  run.policy.chain = dashi::diffusion::ChainOfForgetting{method.exponent, method.source_exponent,
                                                         method.ratio, method.weight};
  if (run.policy.source_samples(run.config.batch) == 0) {
    session.warn(fmt::format("{}: a share of {} of a batch of {} is no sample of the source",
                             run.config_path.string(), method.ratio, run.config.batch));
    return;
  }
  DataConfig bank;
  bank.path = method.bank;
  bank.load.class_depth = 0;  // source samples take the null label
  run.source.emplace(read_images(session, bank));
  check_images(*run.source, run, false);
}

TrainRun prepare(Session& session, Arguments const& arguments) {
  expect_path("CONFIG", arguments.config);
  TrainConfig config = read_train_config(arguments.config);
  dashi::data::ImageSet const set = read_images(session, config.data);
  auto [items, apart] = split_off(evenly(config.data.limit, set.size()), config.validation.share);
  if (items.empty() || (config.validation.share > 0 && apart.empty())) {
    refuse(arguments.config, "validation.share",
           fmt::format("{} of {} images", config.validation.share, items.size() + apart.size()),
           "a share that leaves images on both sides");
  }
  bool const whole = items.size() == set.size();
  TrainRun run{.config = std::move(config),
               .config_path = arguments.config,
               .folder = RunFolder({}),
               .dit = {},
               .variant = {},
               .layout = {},
               .base = nullptr,
               .base_model = {},
               .adapter = nullptr,
               .data = whole ? ChosenImages(set) : ChosenImages(set, std::move(items)),
               .validation = {},
               .source = {},
               .options = {},
               .policy = {},
               .identity = {},
               .base_digest = {},
               .steps = 0,
               .resume = arguments.resume,
               .allow_drift = arguments.allow_drift};
  run.folder = RunFolder(run.config.output);
  run.steps = arguments.steps > 0 ? arguments.steps : run.config.steps;
  run.dit = run.config.model.from.empty()
                ? new_model(run.config, run.data, run.variant, arguments.config)
                : open_base(session, run, arguments.config);
  if (run.dit.null_class && run.config.label_dropout > 0) {
    run.variant.class_dropout = run.config.label_dropout;
  } else if (!run.dit.null_class) {
    run.variant.class_dropout = 0;
  }
  run.dit.recompute =
      run.config.model.recompute ? dashi::Recompute::blocks : dashi::Recompute::nothing;
  check_model(run, arguments.config);
  check_images(run.data, run, true);
  if (!apart.empty()) {
    run.validation.emplace(set, std::move(apart));
  } else if (run.config.validation.data && run.config.validation.every > 0) {
    DataConfig const& data = *run.config.validation.data;
    dashi::data::ImageSet const other = read_images(session, data);
    run.validation.emplace(other, evenly(data.limit, other.size()));
    check_images(*run.validation, run, true);
  }
  if (run.config.validation.every == 0) {
    run.validation.reset();
  }
  take_layout(run);
  run.adapter = adapter_run(run);
  take_method(session, run);
  run.options = options_of(run);
  return run;
}

void identify(Session& session, TrainRun& run) {
  io::FieldHash<io::Xxh3> hash("dashi train config 1\n");
  hash.text(run.config.canonical);
  run.identity.config = io::digest_text<io::Xxh3>(hash.finish());
  run.identity.data = run.data.digest();
  run.identity.source = run.source ? run.source->digest() : "";
  if (run.base) {
    auto const digests = io::checkpoint_digests(
        *run.base, static_cast<std::size_t>(session.threads()), session.progress("digest"));
    run.identity.base = digests.xxh3;
    run.base_digest = digests.sha256;
  }
}

dashi::ExitStatus train(Session& session, Arguments const& arguments) {
  if (session.options.dry_run && arguments.resume) {
    usage_error("dry-run-resume", "--resume with --dry-run", "one of them");
  }
  TrainRun run = prepare(session, arguments);
  identify(session, run);
  if (!session.options.dry_run) {
    run.folder.begin(run.config_path, run.resume);
    stop_at_first_signal();
    session.will_write(run.folder.path() / (run.adapter ? "adapter" : "model.safetensors"));
    session.will_write(run.folder.checkpoints() / "latest");
  }
  // Shards bring threads of their own; a pool beside them would only spin.
  session.start_kokkos(run.config.any_threads ? 1 : session.threads());
  bool const shards = run.config.any_threads;
  std::string const& precision = run.config.model.precision;
  if (run.layout) {
    return precision == "bf16" ? train_bf16_factors(session, run)
                               : train_float32_factors(session, run);
  }
  if (precision == "bf16") {
    return shards ? train_bf16_shards(session, run) : train_bf16(session, run);
  }
  if (precision == "float16") {
    return shards ? train_float16_shards(session, run) : train_float16(session, run);
  }
  return shards ? train_float32_shards(session, run) : train_float32(session, run);
}

}  // namespace

void add_train(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* const verb = add_verb(
      app, "train", model_verb_summary("train"),
      "  dashi train shapes.yaml\n  dashi train shapes.yaml --resume\n"
      "  dashi train shapes.yaml --dry-run\n\n"
      "docs/training.md describes the keys of a configuration. SIGINT, SIGTERM and SIGUSR1 save "
      "the\nstate and end with status 75; a second SIGINT ends at once.");
  verb->add_option("CONFIG", arguments->config, "YAML file")->required();
  verb->add_option("--steps", arguments->steps, "steps in all, in place of the file's")
      ->check(CLI::Range(1, 1'000'000'000));
  verb->add_flag("--resume", arguments->resume, "go on from the newest state in the output folder");
  verb->add_flag("--allow-drift", arguments->allow_drift,
                 "resume under another thread count, machine or version: not the same bits");
  on_verb(*verb, session, arguments, train);
}

}  // namespace cli
