// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Steps do not depend on how a batch is cut, nor sharded ones on the number of threads.
#include <dashi/diffusion/chain_of_forgetting.hpp>
#include <dashi/merging/private_folder.hpp>
#include <dashi/training/sharded.hpp>
#include <dashi/training/trainer.hpp>
#include <dashi/training/training_state.hpp>
#include <dashi/training/validation.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <training_fixture.hpp>

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <vector>

using namespace dashi;
using namespace dashi::training;
using namespace dashi::test;

namespace {

constexpr int steps = 4;

struct Result {
  std::vector<double> values;
  std::vector<double> losses;

  friend bool operator==(Result const&, Result const&) = default;
};

/// A few steps of a mixed batch and a validation loss.
template <class Model, class Trainer>
Result run(Model const& model, Trainer& trainer) {
  Squares const data;
  Squares bank;
  bank.brightness = 0.5F;
  Result result;
  for (int step = 0; step < steps; ++step) {
    Metrics const metrics = trainer.step(data, &bank);
    result.losses.insert(result.losses.end(), {metrics.loss, metrics.gradient_norm});
  }
  result.losses.push_back(validation_loss(trainer, data, {{300}, 9, 0, true}).mean);
  result.values = model.values();
  return result;
}

TrainOptions options(Index accumulate) {
  TrainOptions o = small_options();
  o.batch = 16;
  o.accumulate = accumulate;
  o.flip = true;
  o.clip_norm = 0.5;
  return o;
}

template <class Exec, class P>
Result whole(Index accumulate) {
  Model<BasicDiT<Exec, P>> model;
  Trainer trainer(model.ctx, model.net, options(accumulate), diffusion::ChainOfForgetting());
  return run(model, trainer);
}

/// Relative to the largest.
double difference(std::vector<double> const& a, std::vector<double> const& b) {
  double most = 0;
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    most = std::fmax(most, std::fabs(a[i] - b[i]));
    largest = std::fmax(largest, std::fabs(b[i]));
  }
  return most / largest;
}

}  // namespace

TEST_CASE("micro-batches add up to the batch", "[training]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  // In double, where rounding cannot turn the sign of a gradient that AdamW normalises.
  Result const one = whole<Exec, precision::Float64>(1);
  for (Index const accumulate : {2, 4, 16}) {
    Result const other = whole<Exec, precision::Float64>(accumulate);
    CHECK(difference(other.losses, one.losses) < 1e-11);
    CHECK(difference(other.values, one.values) < 1e-7);
  }
}

#if defined(KOKKOS_ENABLE_SERIAL)
namespace {

template <class P>
Result sharded(Index shards, std::size_t threads, Index accumulate) {
  using Net = BasicDiT<Kokkos::Serial, P>;
  Model<Net> model;
  Trainer trainer(
      Sharded<Net>(model.net, [](Context<Kokkos::Serial>& ctx) { return Net(ctx, training_dit()); },
                   {shards, threads}),
      options(accumulate), diffusion::ChainOfForgetting());
  return run(model, trainer);
}

}  // namespace

TEMPLATE_TEST_CASE("sharded steps are the same bits on any number of threads", "[training]",
                   precision::Float32, precision::Bf16Mixed) {
  for (Index const accumulate : {1, 2}) {
    Result const one = sharded<TestType>(4, 1, accumulate);
    for (std::size_t const threads : {2U, 3U, 4U}) {
      CHECK(sharded<TestType>(4, threads, accumulate) == one);
    }
  }
}

TEST_CASE("a sharded training goes on with another number of threads", "[training]") {
  using Net = BasicDiT<Kokkos::Serial, precision::Float32>;
  merging::PrivateFolder const folder(std::filesystem::temp_directory_path());
  auto const path = folder.path() / "state.safetensors";
  auto const values = [&](std::size_t threads, int last, bool resumed) {
    Model<Net> model;
    auto const make = [](Context<Kokkos::Serial>& ctx) { return Net(ctx, training_dit()); };
    Trainer trainer(Sharded<Net>(model.net, make, {4, threads}), options(1));
    if (resumed) {
      TrainingState<decltype(trainer)>(path).restore(trainer, {});
    }
    while (trainer.steps() < last) {
      trainer.step(Squares());
    }
    if (!resumed) {
      save_training_state(path, trainer);
    }
    return model.values();
  };
  auto const whole = values(2, 4, false);
  values(1, 2, false);
  CHECK(values(4, 4, true) == whole);
}

TEST_CASE("shards add up to the batch", "[training]") {
  Result const one = whole<Kokkos::Serial, precision::Float64>(1);
  for (Index const shards : {1, 2, 4}) {
    Result const other = sharded<precision::Float64>(shards, 2, 2);
    CHECK(difference(other.losses, one.losses) < 1e-11);
    CHECK(difference(other.values, one.values) < 1e-7);
  }
}
#endif
