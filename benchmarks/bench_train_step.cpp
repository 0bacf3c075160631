// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A training step of a small DiT (width 256, depth 4, 64 tokens), in one piece and in shards: what
// the same bits on any number of threads cost.
#include "support/populated.hpp"
#include "support/timed_rows.hpp"

#include <dashi/backbones/dit.hpp>
#include <dashi/core/initialise.hpp>
#include <dashi/core/scope_guard.hpp>
#include <dashi/training/sharded.hpp>
#include <dashi/training/trainer.hpp>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>

namespace {

using namespace dashi;
using namespace dashi::training;
using Host = Kokkos::DefaultHostExecutionSpace;

constexpr Index batch = 32;

struct Waves {
  struct Shape {
    Index channels, height, width;
  };
  std::size_t size() const { return 256; }
  Shape shape() const { return {4, 16, 16}; }
  std::int64_t label(std::size_t i) const { return static_cast<std::int64_t>(i % 10); }
  void read(std::size_t i, std::span<float> chw) const {
    for (std::size_t k = 0; k < chw.size(); ++k) {
      chw[k] = static_cast<float>((k * (i + 3)) % 17) / 8 - 1;
    }
  }
  std::string digest() const { return "waves"; }
};

DitConfig config() {
  DitConfig c;
  c.depth = 4;
  c.width = 256;
  c.heads = 4;
  c.mlp_width = 1024;
  c.height = 16;
  c.width_pixels = 16;
  c.classes = 10;
  return c;
}

/// Multiply-adds of a sample's forward pass: papers.md 1.6.
double forward_work(DitConfig const& c) {
  auto const d = static_cast<double>(c.width);
  auto const t = static_cast<double>(c.tokens());
  auto const patch = static_cast<double>(c.patch * c.patch);
  return static_cast<double>(c.depth) * (12 * d * d * t + 2 * t * t * d + 6 * d * d) +
         3 * static_cast<double>(c.channels) * patch * d * t +
         static_cast<double>(c.frequency_size) * d + 3 * d * d;
}

template <class Exec>
struct Model {
  using Net = BasicDiT<Exec, precision::Float32>;
  Context<Exec> ctx;
  Net net{ctx, config()};

  Model() {
    ParameterList<precision::Float32, Exec> list;
    net.parameters(list);
    train_default(list);
    initialise(ctx, list, 1);
    ctx.fence();
  }
};

TrainOptions options() {
  TrainOptions o;
  o.batch = batch;
  return o;
}

struct Whole {
  Model<Host> model;
  Trainer<Model<Host>::Net> trainer{model.ctx, model.net, options()};
};

struct InShards {
  using Net = Model<Kokkos::Serial>::Net;
  Model<Kokkos::Serial> model;
  Trainer<Net, diffusion::UniformSteps, Sharded<Net>> trainer;

  InShards(Index shards, std::size_t threads)
      : trainer(
            Sharded<Net>(model.net, [](Context<Kokkos::Serial>& ctx) { return Net(ctx, config()); },
                         {shards, threads}),
            options()) {}
};

}  // namespace

int main(int argc, char** argv) {
  ScopeGuard const guard(argc, argv);
  auto const threads = static_cast<std::size_t>(Host().concurrency());
  double const flops = 3 * 2 * static_cast<double>(batch) * forward_work(config());
  bench::TimedRows rows;
  Context<Host> ctx;
  constexpr Index side = 2048;
  std::size_t const size = static_cast<std::size_t>(side) * side;
  bench::Populated<float> p(static_cast<Index>(size)), q(static_cast<Index>(size)),
      r(static_cast<Index>(size));
  bench::fill_with_weights(p, 1);
  bench::fill_with_weights(q, 2);
  auto const square = [](bench::Populated<float>& x) {
    return matrix_over<float, Host>(x.data(), side, side);
  };
  rows.add({"ceiling/product 2048^3", 2.0 * side * side * side, 0, [&] {
              linalg::gemm(ctx, linalg::Op::none, square(p), linalg::Op::transpose, square(q),
                           square(r));
              ctx.fence();
            }});
  auto const whole = std::make_shared<Whole>();
  rows.add({"whole batch", flops, 0, [whole] { whole->trainer.step(Waves()); }});
  for (Index const shards : {2, 4, 8}) {
    auto const sharded = std::make_shared<InShards>(shards, threads);
    rows.add({std::to_string(shards) + " shards", flops, 0,
              [sharded] { sharded->trainer.step(Waves()); }});
  }
  rows.run();
  rows.print("train_step");
  return 0;
}
