// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// An adapter of one's own (input_scale.hpp) on the MLPs of a small DiT: trained twice on the frozen
// base, saved, the two averaged as a soup, and that fused into the weights.

#include <dashi/dashi.hpp>
#include <dashi/data/procedural.hpp>

#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <vector>

#include "input_scale_file.hpp"

using namespace dashi;
using P = precision::Float32;
using Plain = DiT<P>;
using Net = DiT<P, Place<On<role::mlp, InputScale>>>;
using Exec = Net::execution_space;
using List = ParameterList<P, Exec>;

template <class AnyNet>
double train(Context<Exec>& ctx, AnyNet const& net, data::ImageSet const& data, int seed) {
  training::TrainOptions options;
  options.batch = 8;
  options.learning_rate = training::LearningRate::constant(5e-3);
  options.average_decay = 0;
  options.objective.learned_range = false;
  options.seed = static_cast<std::uint64_t>(seed);
  training::Trainer trainer(ctx, net, options);
  training::fit(trainer, data, {.steps = 30});
  return validation_loss(trainer, data, {.steps = {100, 500, 900}, .images = 16}).mean;
}

template <class AnyNet>
std::vector<float> sample(Context<Exec>& ctx, AnyNet const& net) {
  training::ImageSampler sampler(ctx, net, diffusion::Process(), 2, diffusion::Ddim{.steps = 5});
  std::vector<float> images(2 * static_cast<std::size_t>(net.shape().image_size()));
  sampler.sample(std::vector<std::int64_t>{0, 1}, 7, 0, images);
  return images;
}

int main(int argc, char* argv[]) try {
  static_assert(require_adapter<InputScale>());  // says in a sentence what is missing
  ScopeGuard const guard(argc, argv);
  Context<Exec> ctx;
  auto const data = data::procedural({.count = 100, .size = 8, .channels = 1});
  DitConfig config;
  config.depth = 2;
  config.width = config.mlp_width = 48;
  config.channels = 1;
  config.height = config.width_pixels = 8;
  config.classes = data.classes();
  config.learn_sigma = false;
  Plain const base(ctx, config);
  Net const net(ctx, config);
  List plain, adapted;
  base.parameters(plain);
  net.parameters(adapted);
  train_default(plain);
  initialise(ctx, plain, 1);
  double const before = train(ctx, base, data, 1);
  double after = before;
  train_default(adapted);  // the scales: what is placed on a base leaves it frozen
  for (int const seed : {2, 3}) {
    initialise(ctx, adapted, 1);
    for (auto const& entry : plain) {
      adapted.find(entry.name)->parameter.write(std::span<float const>(values_of(entry.parameter)));
    }
    after = train(ctx, net, data, seed);
    save(adapted, seed == 2 ? "first.safetensors" : "second.safetensors");
  }
  std::filesystem::remove("soup.safetensors");
  Soup soup(merging::Uniform{});
  soup.add("first.safetensors").add("second.safetensors");
  soup.publish("soup.safetensors");
  fuse(ctx, io::SafetensorsFile("soup.safetensors"), adapted, plain);

  auto const run_time = sample(ctx, net);
  auto const fused = sample(ctx, base);
  double difference = 0;
  for (std::size_t i = 0; i < fused.size(); ++i) {
    difference = std::fmax(difference, std::fabs(run_time[i] - fused[i]));
  }
  std::printf("%lld of %lld parameters trained: loss %.4f, after %.4f\n",
              static_cast<long long>(adapted.count(true)), static_cast<long long>(plain.count()),
              before, after);
  std::printf("fused and run-time soups differ by %.1g\n", difference);
  return after < before && difference < 1e-3 ? 0 : 1;
} catch (std::exception const& error) {
  std::fprintf(stderr, "04_custom_adapter: %s\n", error.what());
  return static_cast<int>(exit_status(error));
}
