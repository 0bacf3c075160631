// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/adapters/low_rank.hpp>
#include <dashi/backbones/additive_dit.hpp>
#include <dashi/diffusion/chain_of_forgetting.hpp>
#include <dashi/training/trainer.hpp>
#include <dashi/training/validation.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <golden_case.hpp>
#include <training_fixture.hpp>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

using namespace dashi;
using namespace dashi::training;
using namespace dashi::test;
using Catch::Matchers::ContainsSubstring;

namespace {

using Exec = Kokkos::DefaultExecutionSpace;
using Net = BasicDiT<Exec, precision::Float32>;

template <class Trainer, class Data>
double mean_mse(Trainer& trainer, Data const& data, int steps) {
  double sum = 0;
  for (int step = 0; step < steps; ++step) {
    sum += trainer.step(data).mse;
  }
  return sum / steps;
}

}  // namespace

TEST_CASE("losses fall, also those that the averages give", "[trainer]") {
  Model<Net> model;
  Squares const data;
  TrainOptions options = small_options();
  options.clip_norm = 1;
  Trainer trainer(model.ctx, model.net, options);
  ValidationOptions grid{{100, 500, 900}, 10, 3, false};
  double const before = validation_loss(trainer, data, grid).mean;
  double const first = mean_mse(trainer, data, 10);
  mean_mse(trainer, data, 60);
  CHECK(mean_mse(trainer, data, 10) < 0.8 * first);
  CHECK(trainer.steps() == 80);
  double const after = validation_loss(trainer, data, grid).mean;
  CHECK(after < 0.8 * before);
  grid.average = true;
  double const average = validation_loss(trainer, data, grid).mean;
  CHECK(average < 0.9 * before);
  CHECK(average != after);
  grid.average = false;
  CHECK(validation_loss(trainer, data, grid).mean == after);
}

TEST_CASE("a validation loss is by step, image and nothing else", "[trainer]") {
  Model<Net> model;
  Squares const data;
  TrainOptions options = small_options();
  Trainer by_eight(model.ctx, model.net, options);
  options.batch = 3;
  Trainer by_three(model.ctx, model.net, options);
  auto const all = validation_loss(by_eight, data);
  CHECK(all.steps.size() == 25);
  CHECK(all.steps.front() == 20);
  CHECK(all.steps.back() == 980);
  auto const same = validation_loss(by_three, data, {{}, 37, 0, false});
  for (std::size_t i = 0; i < all.by_step.size(); ++i) {
    CHECK(std::fabs(same.by_step[i] - all.by_step[i]) < 1e-5 * all.by_step[i]);
  }
  CHECK(validation_loss(by_eight, data, {{20}, 0, 0, false}).mean == all.by_step.front());
  CHECK(validation_loss(by_eight, data, {{20}, 0, 1, false}).mean != all.by_step.front());
}

TEST_CASE("validation noise is Philox by step and image", "[trainer]") {
  Model<Net> model(training_dit(false));
  for (auto const& entry : model.list) {  // the network predicts 0: the loss is the noise's square
    if (entry.name.starts_with("final_layer.linear")) {
      std::vector<double> const zeros(static_cast<std::size_t>(entry.parameter.size()));
      entry.parameter.write(std::span<double const>(zeros));
    }
  }
  Squares const data;
  TrainOptions options = small_options();
  options.objective.learned_range = false;
  Trainer trainer(model.ctx, model.net, options);
  auto const result = validation_loss(trainer, data, {{60, 700}, 5, 9, false});
  for (std::size_t k = 0; k < 2; ++k) {
    double expected = 0;
    for (std::uint32_t i = 0; i < 5; ++i) {
      auto const step = static_cast<std::uint64_t>(result.steps[k]);
      Philox const noise(9, {random_purpose::evaluation, step, i * 37 / 5});
      for (std::uint64_t at = 0; at < 64; ++at) {
        double const z = static_cast<double>(noise.normal<float>(at));
        expected += z * z / (5 * 64);
      }
    }
    CHECK(std::fabs(result.by_step[k] - expected) < 1e-6 * expected);
  }
}

TEST_CASE("frozen parameters stay and take no gradient", "[trainer]") {
  Model<Net> model;
  train_where(model.list, [](auto const& entry) { return entry.block == 1; });
  auto const before = model.values();
  Trainer trainer(model.ctx, model.net, small_options());
  mean_mse(trainer, Squares(), 3);
  std::size_t at = 0;
  auto const after = model.values();
  for (auto const& entry : model.list) {
    auto const size = static_cast<std::size_t>(entry.parameter.size());
    bool same = true;
    for (std::size_t i = at; i < at + size; ++i) {
      same = same && before[i] == after[i];
    }
    CHECK(same == (entry.block != 1));
    CHECK((entry.parameter.gradient().size() == 0) == (entry.block != 1));
    at += size;
  }
}

TEST_CASE("trainings that cannot be are refused", "[trainer]") {
  Model<Net> model;
  train_where(model.list, [](auto const&) { return false; });
  CHECK_THROWS_AS(Trainer(model.ctx, model.net, small_options()), PreconditionError);
  train_default(model.list);
  TrainOptions options = small_options();
  options.objective.learned_range = false;
  CHECK_THROWS_WITH(Trainer(model.ctx, model.net, options), ContainsSubstring("learned_range"));

  DitConfig config = training_dit();
  config.null_class = false;
  Model<Net> labelled(config);
  options = small_options();
  CHECK_THROWS_WITH(Trainer(labelled.ctx, labelled.net, options), ContainsSubstring("null class"));
  options.label_dropout = 0;
  Trainer trainer(labelled.ctx, labelled.net, options);
  CHECK(trainer.step(Squares()).loss > 0);
}

TEST_CASE("adapters train while their base stays", "[trainer]") {
  using Adapted = BasicDiT<Exec, precision::Float32, Place<On<role::attention, LowRank>>>;
  Model<Adapted> model;
  train_where(model.list, [](auto const& entry) { return entry.kind == ParameterKind::adapter; });
  auto const base = model.value("blocks.0.attn.qkv.weight");
  auto const head = model.value("final_layer.linear.weight");
  Squares const data;
  TrainOptions options = small_options();
  options.learning_rate = LearningRate::constant(1e-2);
  Trainer trainer(model.ctx, model.net, options);
  CHECK(trainer.optimizer().parameters() < model.list.count() / 4);
  ValidationOptions const grid{{100, 500, 900}, 10, 3, false};
  double const before = validation_loss(trainer, data, grid).mean;
  mean_mse(trainer, data, 60);
  CHECK(validation_loss(trainer, data, grid).mean < 0.97 * before);
  CHECK(model.value("blocks.0.attn.qkv.weight") == base);
  CHECK(model.value("final_layer.linear.weight") == head);
}

TEST_CASE("a loss scale changes no bit, and goes down until gradients fit", "[trainer]") {
  Squares const data;
  TrainOptions options = small_options();
  Model<Net> plain;
  Trainer reference(plain.ctx, plain.net, options);
  options.scaling.enabled = true;
  Model<Net> model;
  Trainer scaled(model.ctx, model.net, options);
  for (int step = 0; step < 3; ++step) {
    Metrics const a = reference.step(data);
    Metrics const b = scaled.step(data);
    CHECK(a.loss == b.loss);
    CHECK(a.gradient_norm == b.gradient_norm);
    CHECK(b.loss_scale == 65536);
  }
  CHECK(plain.values() == model.values());

  options.scaling.first = std::ldexp(1.0, 72);  // the norm's square is beyond float
  Model<Net> again;
  Trainer overflowing(again.ctx, again.net, options);
  auto const before = again.values();
  int skipped = 0;
  while (overflowing.step(data).skipped) {
    CHECK(again.values() == before);
    REQUIRE(++skipped < 20);
  }
  CHECK(skipped > 2);
  CHECK(again.values() != before);
  CHECK(overflowing.steps() == skipped + 1);
  CHECK(overflowing.scaler().state().skipped == skipped);

  options.scaling.give_up_after = 2;
  Model<Net> last;
  Trainer giving_up(last.ctx, last.net, options);
  CHECK(giving_up.step(data).skipped);
  CHECK_THROWS_AS(giving_up.step(data), ConvergenceError);
}

TEST_CASE("a loss that is no number stops before anything changes", "[trainer]") {
  Squares data;
  data.brightness = NAN;
  Model<Net> model;
  Trainer trainer(model.ctx, model.net, small_options());
  auto const before = model.values();
  try {
    trainer.step(data);
    FAIL("a NaN was trained on");
  } catch (ConvergenceError const& error) {
    CHECK_FALSE(error.finite_input());
    CHECK_THAT(error.what(), ContainsSubstring("step 1: ") && ContainsSubstring("image ") &&
                                 ContainsSubstring(" at t = ") &&
                                 ContainsSubstring("not finite themselves"));
  }
  CHECK(model.values() == before);
  CHECK(trainer.steps() == 0);

  Model<Net> broken;
  std::vector<double> bias(96, NAN);
  broken.list.find("blocks.0.attn.qkv.bias")->parameter.write(std::span<double const>(bias));
  Trainer other(broken.ctx, broken.net, small_options());
  try {
    other.step(Squares());
    FAIL("a NaN was trained");
  } catch (ConvergenceError const& error) {
    CHECK(error.finite_input());
    CHECK_THAT(error.what(), ContainsSubstring("the images are finite") &&
                                 ContainsSubstring("blocks.0.attn.qkv.bias"));
  }
}

TEST_CASE("a mixed batch weighs its parts as Diff-Tuning does", "[trainer]") {
  Model<Net> model;
  Squares const data;
  Squares bank;
  bank.brightness = 0.5F;
  TrainOptions options = small_options();
  options.batch = 32;
  options.accumulate = 2;
  diffusion::ChainOfForgetting const policy;
  Trainer trainer(model.ctx, model.net, options, policy);
  CHECK(trainer.layout().sources == 6);
  CHECK_THROWS_AS(trainer.step(data), PreconditionError);
  Metrics const m = trainer.step(data, &bank);
  CHECK(std::fabs(m.loss - (m.mse + m.vb + 0.1 * m.source_loss)) < 1e-9 * m.loss);
  CHECK(m.source_loss > 0);
}

TEST_CASE("distilled sources are pulled to the teacher's output", "[trainer]") {
  Model<Net> teacher(training_dit(), {}, 5);
  Model<Net> same(training_dit(), {}, 5);
  Model<Net> other(training_dit(), {}, 6);
  Squares const data;
  Squares const bank;
  TrainOptions options = small_options();
  options.batch = 12;
  options.accumulate = 3;
  diffusion::ChainOfForgetting policy;
  policy.source_weight = 10;
  policy.source_share = 0.45;  // 5 of 12: 0, 1 and 4 in a chunk
  Trainer equal(same.ctx, same.net, options, policy, diffusion::Process(), &teacher.net);
  CHECK(equal.step(data, &bank).source_loss < 1e-12);
  Trainer far(other.ctx, other.net, options, policy, diffusion::Process(), &teacher.net);
  auto const before = teacher.values();
  double const first = far.step(data, &bank).source_loss;
  CHECK(first > 0);
  for (int step = 0; step < 40; ++step) {
    far.step(data, &bank);
  }
  double last = 0;
  for (int step = 0; step < 10; ++step) {
    last += far.step(data, &bank).source_loss / 10;
  }
  CHECK(last < 0.5 * first);
  CHECK(teacher.values() == before);
}

TEMPLATE_TEST_CASE("models of shorter types train", "[trainer]", precision::Bf16Mixed,
                   precision::Fp16Mixed) {
  Model<BasicDiT<Exec, TestType>> model;
  Squares const data;
  TrainOptions options = small_options();
  options.scaling.enabled = std::is_same_v<TestType, precision::Fp16Mixed>;
  Trainer trainer(model.ctx, model.net, options);
  double const first = mean_mse(trainer, data, 10);
  mean_mse(trainer, data, 50);
  CHECK(mean_mse(trainer, data, 10) < 0.85 * first);
  auto const& slot = trainer.optimizer().slots().front();
  CHECK(slot.parameter.master().extent(0) == slot.parameter.vector().extent(0));
}

namespace {

std::int64_t allocated = 0;

void count_allocation(Kokkos::Tools::SpaceHandle, char const*, void const*, std::uint64_t size) {
  allocated += static_cast<std::int64_t>(size);
}
void count_release(Kokkos::Tools::SpaceHandle, char const*, void const*, std::uint64_t size) {
  allocated -= static_cast<std::int64_t>(size);
}

template <class Net>
void check_memory(TrainOptions const& options, typename Net::Options const& adapters = {},
                  std::int64_t least = 500000) {
  namespace Tools = Kokkos::Tools::Experimental;
  allocated = 0;
  Tools::set_allocate_data_callback(count_allocation);
  Tools::set_deallocate_data_callback(count_release);
  {
    Model<Net> model(training_dit(), adapters);
    Trainer trainer(model.ctx, model.net, options);
    std::int64_t const before = allocated;
    auto const plan = static_cast<std::int64_t>(trainer.memory_plan().total());
    CHECK(plan <= before);
    // Tables of the process, of the policy and of AdamW's tensors, cache lines.
    CHECK(before - plan < 200000);
    CHECK(plan > least);
    trainer.step(Squares());
    trainer.step(Squares());
    CHECK(allocated == before);
  }
  Tools::set_allocate_data_callback(nullptr);
  Tools::set_deallocate_data_callback(nullptr);
}

}  // namespace

TEST_CASE("the memory plan is what is allocated, once", "[trainer]") {
  TrainOptions options = small_options();
  check_memory<Net>(options);
  options.average_decay = 0;
  options.accumulate = 2;
  check_memory<BasicDiT<Exec, precision::Bf16Mixed>>(options);
}

TEST_CASE("a frozen base has no memory for gradients, moments and averages", "[trainer]") {
  using Adapted = AdditiveDit<Exec, precision::Bf16Mixed>;
  auto const adapters = additive_options([](LayerInfo const& layer) {
    return layer.role == "qkv" || layer.role == "mlp_in"
               ? AdditiveAdapters(LowRank{.rank = 2, .alpha = 2})
               : AdditiveAdapters{};
  });
  check_memory<Adapted>(small_options(), adapters, 200000);
  Model<Adapted> model(training_dit(), adapters);
  Trainer trainer(model.ctx, model.net, small_options());
  auto const trained = static_cast<std::size_t>(2 * 2 * ((96 + 32) + (64 + 32)));
  CHECK(model.list.count(true) == static_cast<Index>(trained));
  auto const plan = trainer.memory_plan();
  CHECK(plan.gradients == trained * sizeof(float));
  CHECK(plan.masters == trained * sizeof(float));
  CHECK(plan.moments == 2 * trained * sizeof(float));
  CHECK(plan.average == trained * sizeof(float));
  std::vector<std::vector<float>> before;
  for (auto const& entry : model.list) {
    CHECK((entry.parameter.gradient().data() != nullptr) == (entry.kind == ParameterKind::adapter));
    entry.parameter.read(
        std::span<float>(before.emplace_back(static_cast<std::size_t>(entry.parameter.size()))));
  }
  trainer.step(Squares());
  trainer.step(Squares());
  for (std::size_t i = 0; i < before.size(); ++i) {
    std::vector<float> after(before[i].size());
    model.list[i].parameter.read(std::span<float>(after));
    INFO(model.list[i].name);
    CHECK((after != before[i]) == model.list[i].parameter.trained());
  }
}

TEST_CASE("an additive net without adapters trains as the plain one, bit for bit", "[trainer]") {
  using Additive = AdditiveDit<Exec, precision::Float32>;
  Model<Net> plain;
  Model<Additive> additive;
  train_where(additive.list, [](auto const&) { return true; });
  initialise(additive.ctx, additive.list, 5);
  for (auto const& entry : plain.list) {
    std::vector<float> values(static_cast<std::size_t>(entry.parameter.size()));
    entry.parameter.read(std::span<float>(values));
    additive.list.find(entry.name)->parameter.write(std::span<float const>(values));
  }
  Trainer first(plain.ctx, plain.net, small_options());
  Trainer second(additive.ctx, additive.net, small_options());
  CHECK(first.memory_plan().total() == second.memory_plan().total());
  for (int step = 0; step < 3; ++step) {
    CHECK(first.step(Squares()).loss == second.step(Squares()).loss);
  }
  for (auto const& entry : plain.list) {
    std::vector<float> a(static_cast<std::size_t>(entry.parameter.size()));
    std::vector<float> b(a.size());
    entry.parameter.read(std::span<float>(a));
    additive.list.find(entry.name)->parameter.read(std::span<float>(b));
    CHECK(a == b);
  }
}
