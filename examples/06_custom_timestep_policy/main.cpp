// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A timestep policy of your own: noise levels drawn from a bell around the middle of the process.

#include <dashi/backbones.hpp>
#include <dashi/core.hpp>
#include <dashi/data/procedural.hpp>
#include <dashi/training.hpp>

#include <cmath>
#include <cstdio>
#include <exception>

namespace {

using dashi::Index;
using dashi::diffusion::BatchPart;

/// Steps are drawn where log(u / (1 - u)) of their place u is normal, as Esser et al. (arXiv
/// 2403.03206, section 3.1) do: few are nearly clean or nearly noise.
struct LogitNormalSteps {
  double deviation = 1;

  double frequency(BatchPart, Index step, Index steps) const {
    double const u = (static_cast<double>(step) + 0.5) / static_cast<double>(steps);
    double const logit = std::log(u / (1 - u)) / deviation;
    return std::exp(-0.5 * logit * logit) / (u * (1 - u));
  }
  double loss_weight(BatchPart, Index, Index) const { return 1.0; }
  Index source_samples(Index) const { return 0; }
};
static_assert(dashi::diffusion::require_timestep_policy<LogitNormalSteps>());

/// Validation loss after a few steps with a policy.
template <class Policy>
double trained_with(Policy const& policy, dashi::data::ImageSet const& data) {
  using Net = dashi::DiT<dashi::precision::Float32>;
  dashi::DitConfig config;
  config.depth = 2;
  config.width = 64;
  config.heads = 4;
  config.mlp_width = 256;
  config.channels = data.shape().channels;
  config.height = data.shape().height;
  config.width_pixels = data.shape().width;
  config.classes = data.classes();

  dashi::Context ctx;
  Net net(ctx, config);
  dashi::ParameterList<Net::precision, Net::execution_space> parameters;
  net.parameters(parameters);
  dashi::train_default(parameters);
  dashi::initialise(ctx, parameters, 1);

  dashi::training::TrainOptions options;
  options.batch = 16;
  options.learning_rate = dashi::training::LearningRate::constant(1e-3);
  options.clip_norm = 1;
  options.average_decay = 0;
  dashi::training::Trainer trainer(ctx, net, options, policy);
  dashi::training::fit(trainer, data, {.steps = 40});
  return dashi::training::validation_loss(trainer, data,
                                          {.steps = {100, 300, 500, 700, 900}, .images = 16})
      .mean;
}

}  // namespace

int main(int argc, char** argv) try {
  dashi::ScopeGuard const guard(argc, argv);
  auto const data = dashi::data::procedural({.count = 200, .size = 12, .channels = 1});
  std::printf("steps drawn evenly: validation loss %.4f\n",
              trained_with(dashi::diffusion::UniformSteps{}, data));
  std::printf("steps drawn from a bell: validation loss %.4f\n",
              trained_with(LogitNormalSteps{}, data));
} catch (std::exception const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return static_cast<int>(dashi::exit_status(error));
}
