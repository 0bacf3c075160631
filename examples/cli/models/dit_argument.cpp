// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "dit_argument.hpp"

#include "arguments.hpp"
#include "dit_report.hpp"

#include <dashi/checkpoints/dit_model.hpp>
#include <dashi/io/checkpoint_digest.hpp>

#include <fmt/format.h>

#include <charconv>

namespace cli {

namespace io = dashi::io;
namespace checkpoints = dashi::checkpoints;

void add_dit_argument(CLI::App& verb, DitArgument& argument) {
  verb.add_option("MODEL", argument.path,
                  "DiT in original or diffusers names: safetensors file, index, or directory")
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

OpenDit open_dit(Session& session, DitArgument const& argument) {
  expect_path("MODEL", argument.path);
  io::DitHints hints;
  hints.heads = argument.heads;
  if (!argument.input_size.empty()) {
    set_input_size(hints, argument.input_size);
  }
  OpenDit dit;
  dit.checkpoint = std::make_unique<io::Checkpoint>(argument.path, argument.read);
  session.warn_all(dit.checkpoint->warnings());
  dit.model = checkpoints::read_dit_model(*dit.checkpoint, hints);
  if (dit.model.heads_assumed) {
    session.warn(fmt::format("{}: {} heads are assumed from the width {}; --heads says others",
                             argument.path, dit.model.configuration.heads,
                             dit.model.configuration.width));
  }
  take_variant(argument, dit.model);
  take_embedders(argument, *dit.checkpoint, dit.model);
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

}  // namespace cli
