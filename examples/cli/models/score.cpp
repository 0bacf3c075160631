// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "adapter_argument.hpp"
#include "arguments.hpp"
#include "data_argument.hpp"
#include "draw_samples.hpp"
#include "failure.hpp"
#include "model_verbs.hpp"
#include "training_data.hpp"
#include "verbs.hpp"

#include <dashi/metrics/frechet_distance.hpp>
#include <dashi/metrics/nearest_distances.hpp>
#include <dashi/metrics/pooled_pixels.hpp>
#include <dashi/metrics/precision_recall.hpp>
#include <dashi/metrics/random_features.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace cli {

namespace {

namespace metrics = dashi::metrics;

struct ScoreArguments {
  DitArgument dit;
  AppliedAdapters adapters;
  SamplingArgument sampling;
  DataArgument data;
  std::string bank;
  std::string features = "random";
  std::int64_t samples = 500;
};

/// Images in memory.
struct Images {
  dashi::data::ImageShape shape;
  std::vector<float> values;

  metrics::ImageBatch batch() const {
    return {values, static_cast<dashi::Index>(values.size()) / shape.size(), shape.channels,
            shape.height, shape.width};
  }
};

Images images_of(ChosenImages const& set) {
  Images images{set.shape(), {}};
  auto const size = static_cast<std::size_t>(images.shape.size());
  images.values.resize(set.size() * size);
  for (std::size_t i = 0; i < set.size(); ++i) {
    set.read(i, std::span(images.values).subspan(i * size, size));
  }
  return images;
}

/// Samples end where pictures do.
void clip(Images& images) {
  for (float& value : images.values) {
    value = std::clamp(value, -1.0F, 1.0F);
  }
}

metrics::Features features_of(std::string const& kind, Images const& images) {
  return kind == "pixels" ? metrics::pooled_pixels(images.batch())
                          : metrics::random_features(images.batch());
}

struct Made {
  Images images;
  Json about;
};

Made drawn(Session& session, ScoreArguments const& arguments) {
  OpenDit const dit = open_dit(session, arguments.dit);
  SamplingOptions const options = sampling_options(session, arguments.sampling, dit);
  auto const count = static_cast<std::size_t>(arguments.samples);
  auto const labels = labels_of(arguments.sampling, dit, count);
  std::string const digest = digest_of(session, arguments.dit, dit);
  OpenAdapters const adapters = open_adapters(session, arguments.adapters, dit);
  auto const runner = make_dit_runner(session, arguments.dit, dit, adapters.net);
  (void)runner->expect(labels, options.steps, options.guidance != 1);
  runner->load(*dit.checkpoint, dit.model);
  dashi::Index const batch = batch_of(session, arguments.sampling, options, *runner, count);
  Made made{{{dit.config.channels, dit.config.height, dit.config.width_pixels},
             draw_samples(session, *runner, options, labels,
                          static_cast<std::size_t>(dit.config.shape().image_size()), batch)},
            sampling_json(options, arguments.dit, dit)};
  made.about["model"] = arguments.dit.path;
  made.about["digest"] = digest;
  if (!adapters.about.empty()) {
    made.about["adapters"] = adapters.about;
  }
  return made;
}

Made from_bank(Session& session, ScoreArguments const& arguments) {
  DataConfig config;
  config.path = arguments.bank;
  config.load.class_depth = 0;
  ChosenImages const set(read_images(session, config));
  return {images_of(set), {{"bank", arguments.bank}, {"digest", set.digest()}}};
}

void expect_equal_shapes(ScoreArguments const& arguments, Images const& real, Images const& made) {
  if (!(real.shape == made.shape)) {
    throw dashi::FormatError({.code = "data-shape",
                              .file = arguments.data.path,
                              .place = {},
                              .found = "images of " + shape_text(real.shape),
                              .expected = shape_text(made.shape) + ", as the samples are",
                              .advice = "give --size with --resize, or --channels"});
  }
  dashi::Index const least = std::min(real.batch().count, made.batch().count);
  if (least < 5) {
    usage_error("too-few-images", fmt::format("{} images on one side", least), "at least 5");
  }
}

dashi::ExitStatus score(Session& session, ScoreArguments const& arguments) {
  if (arguments.bank.empty() == arguments.dit.path.empty()) {
    usage_error("model-or-bank",
                arguments.bank.empty() ? "neither MODEL nor --bank" : "MODEL and --bank",
                "one of them");
  }
  if (!arguments.bank.empty() && !arguments.adapters.adapters.empty()) {
    usage_error("bank-and-adapter", "--adapter with --bank", "MODEL with --adapter");
  }
  if (session.options.dry_run) {
    session.say(fmt::format("{} would be compared with {}\n",
                            dashi::escaped(arguments.bank + arguments.dit.path),
                            dashi::escaped(arguments.data.path)));
    session.report({{"verb", "score"}, {"dry_run", true}});
    return dashi::ExitStatus::success;
  }
  dashi::data::ImageSet const set = read_images(session, data_config(arguments.data));
  Images const real = images_of(
      ChosenImages(set, evenly(static_cast<std::size_t>(arguments.data.limit), set.size())));
  session.start_kokkos(session.threads());
  Made made = arguments.bank.empty() ? drawn(session, arguments) : from_bank(session, arguments);
  clip(made.images);
  expect_equal_shapes(arguments, real, made.images);
  auto const real_features = features_of(arguments.features, real);
  auto const made_features = features_of(arguments.features, made.images);
  double const distance = metrics::frechet_distance(real_features, made_features);
  auto const shares = metrics::precision_recall(real_features, made_features);
  auto nearest = metrics::nearest_distances(metrics::pooled_pixels(made.images.batch(), 0),
                                            metrics::pooled_pixels(real.batch(), 0));
  std::sort(nearest.begin(), nearest.end(),
            [](auto const& a, auto const& b) { return a.distance < b.distance; });
  double const least = nearest.front().distance;
  double const median = nearest[nearest.size() / 2].distance;
  session.say(fmt::format("{} samples against {} images of {}\n", made.images.batch().count,
                          real.batch().count, dashi::escaped(arguments.data.path)));
  session.say(row("frechet", fmt::format("{:.6g} on {} features", distance, arguments.features)) +
              row("precision", short_number(shares.precision)) +
              row("recall", short_number(shares.recall)) +
              row("nearest", fmt::format("median {:.4g}, least {:.4g} (image {})", median, least,
                                         nearest.front().index)));
  session.report({{"verb", "score"},
                  {"data", arguments.data.path},
                  {"data_digest", set.digest()},
                  {"images", real.batch().count},
                  {"samples", made.images.batch().count},
                  {"features", arguments.features},
                  {"frechet_distance", distance},
                  {"precision", shares.precision},
                  {"recall", shares.recall},
                  {"nearest_median", median},
                  {"nearest_least", least},
                  {"drawn", made.about}});
  return dashi::ExitStatus::success;
}

}  // namespace

void add_score(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<ScoreArguments>();
  CLI::App* const verb = add_verb(
      app, "score", model_verb_summary("score"),
      "  dashi score model.safetensors --data images/ --samples 500 --guidance 1\n"
      "  dashi score --bank samples.safetensors --data images/\n\n"
      "Features are those of a fixed random network, or the pixels averaged over 8 x 8 areas: "
      "compare\nscores of this program at equal counts with each other, never with published "
      "FIDs.");
  verb->add_option(
      "MODEL", arguments->dit.path,
      "DiT in original or diffusers names, or factorised: safetensors file, index, or\ndirectory");
  add_dit_options(*verb, arguments->dit);
  add_adapters_beside(*verb, arguments->adapters);
  add_sampling_options(*verb, arguments->sampling);
  add_data_options(*verb, arguments->data);
  verb->add_option("--bank", arguments->bank, "samples that 'sample --bank' wrote, not MODEL");
  verb->add_option("--samples", arguments->samples, "to draw (default 500)")
      ->check(CLI::Range(5, 10'000'000));
  verb->add_option("--features", arguments->features, "random (default) or pixels")
      ->check(CLI::IsMember({"random", "pixels"}));
  on_verb(*verb, session, arguments, score);
}

}  // namespace cli
