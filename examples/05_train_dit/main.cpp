// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Trains a small DiT on drawn shapes, stops, goes on and samples. Usage: 05_train_dit [STEPS]

#include <dashi/backbones.hpp>
#include <dashi/core.hpp>
#include <dashi/data/procedural.hpp>
#include <dashi/training.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <vector>

namespace {

using Net = dashi::DiT<dashi::precision::Float32>;

dashi::DitConfig config(dashi::data::ImageSet const& data) {
  dashi::DitConfig c;
  c.depth = 3;
  c.width = 64;
  c.heads = 4;
  c.mlp_width = 256;
  c.channels = data.shape().channels;
  c.height = data.shape().height;
  c.width_pixels = data.shape().width;
  c.classes = data.classes();
  return c;
}

dashi::training::TrainOptions options(dashi::Index steps) {
  dashi::training::TrainOptions o;
  o.batch = 16;
  o.learning_rate = dashi::training::LearningRate::cosine(1e-3, steps).warmed_up(steps / 10);
  o.average_decay = 0.98;
  o.flip = true;
  return o;
}

/// Bright pixels as '#'.
void print(std::vector<float> const& image, std::size_t side) {
  for (std::size_t row = 0; row < side; ++row) {
    for (std::size_t column = 0; column < side; ++column) {
      std::putchar(image[row * side + column] > 0 ? '#' : '.');
    }
    std::putchar('\n');
  }
}

/// Trains up to `last` of the steps, from the newest saved state on.
void train(dashi::data::ImageSet const& data, dashi::Index steps, dashi::Index last) {
  dashi::Context ctx;
  Net net(ctx, config(data));
  dashi::ParameterList<Net::precision, Net::execution_space> parameters;
  net.parameters(parameters);
  dashi::train_default(parameters);
  dashi::initialise(ctx, parameters, 1);
  dashi::training::Trainer trainer(ctx, net, options(steps));

  dashi::training::StateFolder const states("states");
  dashi::training::RunIdentity const identity{.data = data.digest()};
  if (!states.resume(trainer, identity)) {
    std::printf("%s", trainer.memory_plan().text().c_str());
  }
  dashi::training::MetricsLog log("metrics.jsonl", dashi::training::LogFormat::json_lines,
                                  trainer.steps());
  dashi::training::FitHooks hooks;
  hooks.on_step = [&](dashi::training::Metrics const& m) { log.write(m); };
  hooks.on_checkpoint = [&] { states.save(trainer, identity); };
  dashi::training::fit(trainer, data, {.steps = last}, hooks);
  double const loss =
      dashi::training::validation_loss(trainer, data, {.images = 32, .average = true}).mean;
  std::printf("step %d: validation loss %.4f\n", static_cast<int>(trainer.steps()), loss);

  auto const averaged = trainer.averaged();
  dashi::training::ImageSampler sampler(ctx, net, trainer.terms().process, 1,
                                        dashi::diffusion::Ddim{.steps = 20});
  std::vector<float> image(static_cast<std::size_t>(data.shape().size()));
  std::vector<std::int64_t> const label{0};
  sampler.sample(label, 7, 0, image);
  print(image, static_cast<std::size_t>(data.shape().width));
}

}  // namespace

int main(int argc, char** argv) try {
  dashi::ScopeGuard const guard(argc, argv);
  dashi::Index const steps = argc > 1 ? std::max(2, std::atoi(argv[1])) : 60;
  auto const data = dashi::data::procedural({.count = 200, .size = 16, .channels = 1});
  std::filesystem::remove_all("states");
  train(data, steps, steps / 2);
  train(data, steps, steps);
} catch (std::exception const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return static_cast<int>(dashi::exit_status(error));
}
