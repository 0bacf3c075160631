// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Trains an adapter of one's own on the MLPs of a small DiT whose other parameters stay as they
// are.

#include <dashi/dashi.hpp>
#include <dashi/kernels/adamw.hpp>

#include <cstdio>
#include <vector>

#include "input_scale.hpp"

using namespace dashi;
using P = precision::Float32;
using Net = DiT<P, Place<On<role::mlp, InputScale>>>;
using Exec = Net::execution_space;
using Images = Kokkos::View<float**, Kokkos::LayoutRight, Exec::memory_space>;
using Flat = Kokkos::View<float*, Exec::memory_space>;
constexpr Index samples = 4;

/// Every parameter from N(0, 0.1), since a new DiT predicts zero whatever its adapters are.
void pretend_to_be_trained(Context<Exec>& ctx, ParameterList<P, Exec> const& list) {
  ParameterList<P, Exec> noisy;
  for (auto const& entry : list) {
    if (entry.kind == ParameterKind::weight || entry.kind == ParameterKind::embedding) {
      noisy.add(entry.name, entry.parameter, entry.kind, false, Initial::normal(0.1));
    }
  }
  initialise(ctx, noisy, 2);
}

/// N(0, 1).
void draw(Context<Exec>& ctx, Images const& images, std::uint64_t seed) {
  Philox const random(seed, {random_purpose::initialisation, 0, 0});
  Kokkos::parallel_for(
      "draw", Kokkos::RangePolicy<Exec>(ctx.exec(), 0, images.size()),
      KOKKOS_LAMBDA(std::size_t i) { images.data()[i] = random.normal<float>(i); });
}

/// Half the mean square of out - target, which becomes out.
double loss_gradient(Context<Exec>& ctx, Images const& out, Images const& target) {
  double sum = 0;
  auto const scale = 1.0F / static_cast<float>(out.size());
  Kokkos::parallel_reduce(
      "loss", Kokkos::RangePolicy<Exec>(ctx.exec(), 0, out.size()),
      KOKKOS_LAMBDA(std::size_t i, double& total) {
        float const error = out.data()[i] - target.data()[i];
        total += 0.5 * static_cast<double>(scale * error * error);
        out.data()[i] = scale * error;
      },
      sum);
  return sum;
}

int main(int argc, char* argv[]) {
  static_assert(require_adapter<InputScale>());  // says in a sentence what is missing
  ScopeGuard const guard(argc, argv);
  Context<Exec> ctx;
  DitConfig config = DitConfig::small();
  config.depth = 2;
  config.width = config.mlp_width = 48;
  config.height = config.width_pixels = 8;
  config.classes = 10;
  Net const net(ctx, config);
  ParameterList<P, Exec> list;
  net.parameters(list);
  initialise(ctx, list, 1);
  pretend_to_be_trained(ctx, list);
  train_default(list);

  // One optimizer and one arena for everything that a step needs.
  std::vector<kernels::AdamWTensor<float, float, float, Exec>> tensors;
  std::vector<Flat> moments;
  for (auto const& entry : list) {
    if (entry.parameter.trained()) {
      auto const size = static_cast<std::size_t>(entry.parameter.size());
      moments.insert(moments.end(), {Flat("first", size), Flat("second", size)});
      tensors.push_back({entry.parameter.master(),
                         entry.parameter.gradient_vector(),
                         moments.rbegin()[1],
                         moments.rbegin()[0],
                         {},
                         {}});
    }
  }
  kernels::AdamW<float, float, float, Exec> const adamw(ctx, tensors);
  Arena measured;
  (void)net.saved(measured, samples);
  Context<Exec> memory;  // its scratch arena is aligned memory of the space
  memory.reserve_scratch(measured.peak());
  auto const saved = net.saved(memory.scratch(), samples);
  ctx.reserve_scratch(net.scratch_bytes(ctx, samples));

  auto const images = [&](Index size) { return Images("images", samples, size); };
  Images const x = images(net.shape().image_size());
  Images const out = images(net.shape().out_size());
  Images const target = images(net.shape().out_size());
  draw(ctx, x, 3);
  draw(ctx, target, 4);
  Kokkos::View<double*, Exec::memory_space> const timesteps("timesteps", samples);
  Kokkos::View<std::int64_t*, Exec::memory_space> const classes("classes", samples);
  Net::Input input{x, timesteps, {classes, {}, 0}, {}};

  std::printf("%lld of %lld parameters are trained\n", static_cast<long long>(list.count(true)),
              static_cast<long long>(list.count()));
  double first = 0;
  double last = 0;
  for (int step = 1; step <= 30; ++step) {
    net.forward(ctx, input, out, saved);
    last = loss_gradient(ctx, out, target);
    first = step == 1 ? last : first;
    for (auto const& entry : list) {
      if (entry.parameter.trained()) {
        Kokkos::deep_copy(ctx.exec(), entry.parameter.gradient(), 0.0F);
      }
    }
    net.backward(ctx, input, out, saved);
    adamw.step(ctx, {.learning_rate = 0.02}, step);
  }
  std::printf("loss %.4f, after 30 steps %.4f\n", first, last);
  return last < 0.99 * first ? 0 : 1;
}
