// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "dit_argument.hpp"

#include "arguments.hpp"
#include "dit_report.hpp"
#include "dit_runner.hpp"
#include "failure.hpp"

#include <dashi/checkpoints/dit_model.hpp>
#include <dashi/checkpoints/svd_read.hpp>
#include <dashi/io/checkpoint_digest.hpp>

#include <fmt/format.h>

#include <charconv>

namespace cli {

namespace io = dashi::io;
namespace checkpoints = dashi::checkpoints;

void add_dit_argument(CLI::App& verb, DitArgument& argument) {
  verb.add_option("MODEL", argument.path,
                  "DiT in original or diffusers names, or factorised: safetensors file, index, "
                  "or\ndirectory")
      ->required();
  add_dit_options(verb, argument);
}

void add_dit_options(CLI::App& verb, DitArgument& argument) {
  verb.add_option("--heads", argument.heads, "attention heads, where the file does not tell")
      ->check(CLI::Range(1, 4096));
  verb.add_option("--input-size", argument.input_size,
                  "SIZE or HEIGHTxWIDTH of the input, where the file does not tell");
  verb.add_option("--time-embed", argument.time_embed,
                  "timestep frequencies: original (divided by 128) or diffusers (127); default as "
                  "the file says")
      ->check(CLI::IsMember({"original", "diffusers"}));
  verb.add_option("--cfg-channels", argument.cfg_channels,
                  "channels that guidance acts on: 3 or all; default as the file says")
      ->check(CLI::IsMember({"3", "all"}));
  verb.add_option("--variance", argument.variance,
                  "of DDPM: learned or fixed; default as the file says")
      ->check(CLI::IsMember({"learned", "fixed"}));
  verb.add_option("--embedders", argument.embedders,
                  "shared or per_block; default as the file says")
      ->check(CLI::IsMember({"shared", "per_block"}));
  verb.add_option("--schedule", argument.schedule,
                  "of the noise: linear or cosine; default as the file says, else linear")
      ->check(CLI::IsMember({"linear", "cosine"}));
  verb.add_option("--precision", argument.precision, "float32 (default) or bf16")
      ->check(CLI::IsMember({"float32", "bf16"}));
  verb.add_option("--class-weights", argument.class_weights,
                  "of a factorised model: dense weights for each tailor group that is drawn, the "
                  "factors\nthemselves, or auto (default): what costs less")
      ->check(CLI::IsMember({"auto", "dense", "factors"}));
  verb.add_flag("--no-digest", argument.no_digest, "leave the digest of MODEL out of the output");
  add_read_options(verb, argument.read);
}

namespace {

void take_variant(DitArgument const& argument, io::DitModel& model) {
  io::DitVariant& v = model.variant;
  if (!argument.time_embed.empty()) {
    v.time_divisor =
        model.configuration.frequency_size / 2 - (argument.time_embed == "diffusers" ? 1 : 0);
  }
  if (!argument.cfg_channels.empty()) {
    v.guidance_channels = argument.cfg_channels == "all" ? 0 : 3;
  }
  if (!argument.variance.empty()) {
    v.learned_variance = argument.variance == "learned";
  }
}

/// Embedders as asked for, unless that would compute another function than the file holds.
void take_embedders(DitArgument const& argument, io::Checkpoint const& checkpoint,
                    io::DitModel& model) {
  if (argument.embedders.empty()) {
    return;
  }
  if (argument.embedders == "per_block") {
    model.variant.embedders = io::DitEmbedders::per_block;
    return;
  }
  if (model.variant.embedders == io::DitEmbedders::per_block) {
    auto const difference =
        checkpoints::compare_embedders(checkpoint, io::DitNames(model.configuration.depth));
    if (difference) {
      throw dashi::FormatError(
          {.code = "embedders-differ",
           .file = checkpoint.path().string(),
           .place = "tensor " + io::in_quotes(difference->tensor),
           .found = "another embedder than that of block 0",
           .expected = "equal ones for --embedders shared",
           .advice = "run it with --embedders per_block: one copy would be another model"});
    }
    model.variant.embedders = io::DitEmbedders::shared;
  }
}

}  // namespace

namespace {

bool is_factorised(io::Checkpoint const& checkpoint) {
  return io::dialect(checkpoint).dialect == io::Dialect::dit_factorised;
}

/// Its file says all that hints are for.
void open_factorised(DitArgument const& argument, OpenDit& dit) {
  for (auto const& [option, given] : {std::pair("--heads", argument.heads > 0),
                                      std::pair("--input-size", !argument.input_size.empty()),
                                      std::pair("--embedders", !argument.embedders.empty())}) {
    if (given) {
      usage_error("option-of-another-kind", std::string(option) + " for a factorised model",
                  "no such option: the file says it");
    }
  }
  auto model = checkpoints::read_factorised(*dit.checkpoint);
  dit.layout = std::move(model.layout);
  dit.model.configuration = model.configuration;
  dit.model.variant = model.variant;
  dit.model.embedders_stated = true;
}

void open_dense(Session& session, DitArgument const& argument, OpenDit& dit) {
  if (argument.class_weights == "factors") {
    usage_error("option-of-another-kind", "--class-weights factors for a dense model",
                "a factorised one, as dashi factorise writes it");
  }
  io::DitHints hints;
  hints.heads = argument.heads;
  if (!argument.input_size.empty()) {
    set_input_size(hints, argument.input_size);
  }
  dit.model = checkpoints::read_dit_model(*dit.checkpoint, hints);
  if (dit.model.heads_assumed) {
    session.warn(fmt::format("{}: {} heads are assumed from the width {}; --heads says others",
                             argument.path, dit.model.configuration.heads,
                             dit.model.configuration.width));
  }
  take_embedders(argument, *dit.checkpoint, dit.model);
}

}  // namespace

std::uint64_t OpenDit::parameters() const {
  return layout ? checkpoints::factorised_parameters({model.configuration, model.variant, *layout})
                : io::dit_parameters(model.configuration);
}

OpenDit open_dit(Session& session, DitArgument const& argument) {
  expect_path("MODEL", argument.path);
  OpenDit dit;
  dit.checkpoint = std::make_unique<io::Checkpoint>(argument.path, argument.read);
  session.warn_all(dit.checkpoint->warnings());
  if (is_factorised(*dit.checkpoint)) {
    open_factorised(argument, dit);
  } else {
    open_dense(session, argument, dit);
  }
  take_variant(argument, dit.model);
  dit.config = checkpoints::dit_config(dit.model.configuration, dit.model.variant);
  auto const& metadata = dit.checkpoint->metadata();
  if (auto const at = metadata.find("dashi.schedule"); at != metadata.end()) {
    dit.process.schedule = at->second == "cosine" ? "cosine" : "linear";
  }
  if (auto const at = metadata.find("dashi.diffusion_steps"); at != metadata.end()) {
    dashi::Index steps = 0;
    std::from_chars(at->second.data(), at->second.data() + at->second.size(), steps);
    if (steps > 0 && steps <= 100'000) {
      dit.process.steps = steps;
    }
  }
  if (!argument.schedule.empty()) {
    dit.process.schedule = argument.schedule;
  }
  return dit;
}

std::string digest_of(Session& session, DitArgument const& argument, OpenDit const& dit) {
  return argument.no_digest
             ? std::string()
             : io::checkpoint_digest(*dit.checkpoint, static_cast<std::size_t>(session.threads()),
                                     session.progress("digest"));
}

std::unique_ptr<DitRunner> make_dit_runner(Session const& session, DitArgument const& argument,
                                           OpenDit const& dit, SharedAdapters adapters) {
  bool const bf16 = argument.precision == "bf16";
  if (!dit.layout) {
    return bf16 ? make_bf16_runner(dit.config, std::move(adapters))
                : make_float32_runner(dit.config, std::move(adapters));
  }
  using dashi::Materialise;
  GatedWeights weights{*dit.layout,
                       argument.class_weights == "dense"     ? Materialise::always
                       : argument.class_weights == "factors" ? Materialise::never
                                                             : Materialise::when_it_pays,
                       static_cast<std::size_t>(session.memory())};
  return bf16 ? make_bf16_gated_runner(dit.config, std::move(weights))
              : make_float32_gated_runner(dit.config, std::move(weights));
}

}  // namespace cli
