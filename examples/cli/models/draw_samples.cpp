// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "draw_samples.hpp"

#include "dit_report.hpp"
#include "failure.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace cli {

void add_sampling_options(CLI::App& verb, SamplingArgument& argument) {
  verb.add_option("--class", argument.classes,
                  "a class, counted from 0; may be repeated, samples take them in turn; default: "
                  "all classes")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  verb.add_flag("--no-class", argument.null_label, "samples of no class: the null label");
  verb.add_option("--sampler", argument.sampler, "ddim (default) or ddpm")
      ->check(CLI::IsMember({"ddim", "ddpm"}));
  verb.add_option("--steps", argument.steps, "of the sampler (default 50)")
      ->check(CLI::Range(1, 100'000));
  verb.add_option("--eta", argument.eta, "noise of DDIM: 0 (default) none, 1 as much as DDPM")
      ->check(CLI::Range(0.0, 1.0));
  verb.add_option("--guidance", argument.guidance,
                  "classifier-free guidance scale; 1 is off and twice as fast")
      ->check(CLI::Range(0.0, 1000.0));
  verb.add_flag("--clip", argument.clip, "clip predicted images to [-1, 1] at every step");
  verb.add_option("--batch", argument.batch,
                  "samples at a time; default: what --mem holds, at most 64")
      ->check(CLI::Range(1, 1 << 20));
}

SamplingOptions sampling_options(Session const& session, SamplingArgument const& argument,
                                 OpenDit const& dit) {
  SamplingOptions o;
  o.process = dit.process;
  o.sampler = argument.sampler;
  o.steps = argument.steps;
  o.eta = argument.eta;
  o.clip = argument.clip;
  o.learned = dit.model.variant.learned_variance;
  o.guidance = argument.null_label ? 1 : argument.guidance;
  o.guidance_channels = dit.model.variant.guidance_channels;
  o.null_label = dit.config.classes;
  o.seed = session.options.seed;
  if (o.steps > o.process.steps) {
    usage_error(
        "too-many-steps", fmt::format("--steps {}", o.steps),
        fmt::format("at most {}, the steps that the model was trained on", o.process.steps));
  }
  if (o.eta > 0 && o.sampler == "ddpm") {
    usage_error("eta-without-ddim", "--eta with --sampler ddpm", "--sampler ddim");
  }
  if (!dit.config.null_class && (o.guidance != 1 || argument.null_label)) {
    usage_error("no-null-class",
                o.guidance != 1 ? fmt::format("--guidance {}", o.guidance) : "--no-class",
                "--guidance 1: the model has no null class");
  }
  if (argument.null_label && !argument.classes.empty()) {
    usage_error("class-and-no-class", "--class with --no-class", "one of them");
  }
  for (std::int64_t const label : argument.classes) {
    if (label < 0 || label >= dit.config.classes) {
      usage_error("class-index", fmt::format("--class {}", label),
                  fmt::format("0 to {}, the classes of the model", dit.config.classes - 1));
    }
  }
  return o;
}

std::vector<std::int64_t> labels_of(SamplingArgument const& argument, OpenDit const& dit,
                                    std::size_t count) {
  std::vector<std::int64_t> labels;
  for (std::size_t i = 0; i < count; ++i) {
    labels.push_back(argument.null_label        ? dit.config.classes
                     : argument.classes.empty() ? static_cast<std::int64_t>(i) % dit.config.classes
                                                : argument.classes[i % argument.classes.size()]);
  }
  return labels;
}

dashi::Index batch_of(Session const& session, SamplingArgument const& argument,
                      SamplingOptions const& options, DitRunner& runner, std::size_t count) {
  auto batch = static_cast<dashi::Index>(std::min<std::size_t>(count, 64));
  if (argument.batch > 0) {
    return std::min<dashi::Index>(argument.batch, static_cast<dashi::Index>(count));
  }
  while (batch > 1 && runner.work_bytes(options, batch) > session.memory()) {
    batch /= 2;
  }
  return batch;
}

namespace {

/// Which steps of a sampler a trajectory keeps: evenly from the first to the last.
bool is_kept(dashi::Index step, dashi::Index steps, std::size_t most) {
  auto const kept = std::min<dashi::Index>(static_cast<dashi::Index>(most), steps);
  for (dashi::Index k = 0; k < kept; ++k) {
    if (step == (kept == 1 ? 0 : k * (steps - 1) / (kept - 1))) {
      return true;
    }
  }
  return false;
}

/// Images of a batch to the places of its samples.
void place(std::span<float const> from, std::span<std::int64_t const> samples,
           std::span<float> to) {
  std::size_t const size = from.size() / samples.size();
  for (std::size_t n = 0; n < samples.size(); ++n) {
    auto const image = from.subspan(n * size, size);
    std::copy(image.begin(), image.end(),
              to.begin() + static_cast<std::ptrdiff_t>(size) * samples[n]);
  }
}

void note_step(Trajectory& trajectory, std::size_t kept, dashi::Index timestep,
               std::span<std::int64_t const> samples, std::size_t total, std::span<float const> x,
               std::span<float const> x0) {
  if (kept == trajectory.timesteps.size()) {
    trajectory.timesteps.push_back(timestep);
    trajectory.x.emplace_back(total);
    trajectory.x0.emplace_back(total);
  }
  place(x, samples, trajectory.x[kept]);
  place(x0, samples, trajectory.x0[kept]);
}

}  // namespace

std::vector<float> draw_samples(Session& session, DitRunner& runner, SamplingOptions const& options,
                                std::span<std::int64_t const> labels, std::size_t image_size,
                                dashi::Index batch, Trajectory* trajectory) {
  std::vector<float> images(labels.size() * image_size);
  auto const steps = static_cast<std::uint64_t>(options.steps);
  dashi::io::Progress& progress = session.progress("sample", "images", steps);
  progress.start(labels.size() * steps);
  std::vector<std::size_t> const order = runner.order(labels);
  std::vector<std::int64_t> numbers, part;
  std::vector<float> drawn;
  for (std::size_t first = 0; first < labels.size(); first += part.size()) {
    std::size_t const count = std::min(labels.size() - first, static_cast<std::size_t>(batch));
    numbers.clear();
    part.clear();
    for (std::size_t n = first; n < first + count; ++n) {
      numbers.push_back(static_cast<std::int64_t>(order[n]));
      part.push_back(labels[order[n]]);
    }
    std::size_t kept = 0;
    SampleWatcher watcher;
    watcher.after_step = [&] { progress.advance(part.size()); };
    if (trajectory != nullptr) {
      watcher.wants = [&](dashi::Index step) {
        return is_kept(step, options.steps, trajectory->most);
      };
      watcher.see = [&](dashi::Index timestep, std::span<float const> x,
                        std::span<float const> x0) {
        note_step(*trajectory, kept++, timestep, numbers, images.size(), x, x0);
      };
    }
    drawn.resize(count * image_size);
    runner.sample(options, part, numbers, drawn, watcher);
    place(drawn, numbers, images);
  }
  session.end_progress();
  return images;
}

Json sampling_json(SamplingOptions const& options, DitArgument const& argument,
                   OpenDit const& dit) {
  Json out{{"sampler", options.sampler},
           {"steps", options.steps},
           {"eta", options.eta},
           {"clip", options.clip},
           {"guidance", options.guidance},
           {"seed", options.seed},
           {"schedule", options.process.schedule},
           {"process_steps", options.process.steps},
           {"precision", argument.precision}};
  if (dit.layout) {
    out["class_weights"] = argument.class_weights.empty() ? "auto" : argument.class_weights;
  }
  out["dit"] = dit_json(dit.model);
  out["dit"]["embedders"] =
      dit.config.embedders == dashi::Embedders::shared ? "shared" : "per_block";
  return out;
}

}  // namespace cli
