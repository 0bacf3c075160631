// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The trainer and the sampler on the default execution space.
#include <dashi/backbones/dit.hpp>
#include <dashi/core/initialise.hpp>
#include <dashi/diffusion/chain_of_forgetting.hpp>
#include <dashi/training/image_sampler.hpp>
#include <dashi/training/trainer.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <span>
#include <string>
#include <vector>

// Named, because nvcc warns of what is unused in an unnamed one.
namespace train_test {

using namespace dashi;

/// Two classes: images that are all light, images that are all dark.
struct Plain {
  struct Shape {
    Index channels, height, width;
  };
  std::size_t size() const { return 8; }
  Shape shape() const { return {1, 4, 4}; }
  std::int64_t label(std::size_t i) const { return static_cast<std::int64_t>(i % 2); }
  void read(std::size_t i, std::span<float> chw) const {
    for (float& value : chw) {
      value = i % 2 == 0 ? 0.8F : -0.8F;
    }
  }
  std::string digest() const { return "plain"; }
};

namespace {

using namespace dashi;
using Net = DiT<precision::Float32>;
using train_test::Plain;

DitConfig tiny() {
  DitConfig config;
  config.depth = 2;
  config.width = 16;
  config.heads = 2;
  config.mlp_width = 32;
  config.patch = 2;
  config.channels = 1;
  config.learn_sigma = false;
  config.classes = 2;
  config.height = 4;
  config.width_pixels = 4;
  return config;
}

training::TrainOptions options() {
  training::TrainOptions result;
  result.batch = 16;
  result.learning_rate.peak = 3e-3;
  result.objective.learned_range = false;
  return result;
}

struct Trained {
  Context<> ctx;
  Net net{ctx, tiny()};

  Trained() {
    ParameterList<precision::Float32, Context<>::execution_space> list;
    net.parameters(list);
    train_default(list);
    initialise(ctx, list, 3);
  }
};

/// Mean loss of the first and of the last ten of 60 steps.
template <class Policy>
std::pair<double, double> train(Trained& model, Policy const& policy) {
  training::Trainer trainer(model.ctx, model.net, options(), policy);
  Plain const data;
  double first = 0;
  double last = 0;
  for (int step = 0; step < 60; ++step) {
    auto const metrics = trainer.step(data, &data);
    first += step < 10 ? metrics.loss / 10 : 0;
    last += step >= 50 ? metrics.loss / 10 : 0;
  }
  return {first, last};
}

}  // namespace

TEST_CASE("a DiT learns on this execution space, and its samples are finite", "[train]") {
  Trained model;
  auto const [first, last] = train(model, diffusion::UniformSteps{});
  CHECK(last < 0.8 * first);
  training::ImageSampler sampler(model.ctx, model.net, diffusion::Process(), 2,
                                 diffusion::Ddim{.steps = 10}, {.scale = 2});
  std::vector<std::int64_t> const labels{0, 1};
  std::vector<float> images(2 * 16);
  sampler.sample(labels, 1, 0, images);
  for (float const value : images) {
    CHECK(std::isfinite(value));
  }
}

TEST_CASE("so it does by the chain of forgetting", "[train]") {
  Trained model;
  auto const [first, last] = train(model, diffusion::ChainOfForgetting{});
  CHECK(last < 0.8 * first);
}

}  // namespace train_test
