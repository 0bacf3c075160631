// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Five steps of the original DiT's training on recorded batches.
#include <dashi/backbones/dit.hpp>
#include <dashi/training/sharded.hpp>
#include <dashi/training/trainer.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <golden_case.hpp>

#include <algorithm>

namespace {

using namespace dashi;
using namespace dashi::training;

constexpr Index batch = 4;
constexpr int steps = 5;
constexpr double learning_rate = 1e-3;

DitConfig config() {
  DitConfig c;
  c.depth = 2;
  c.width = 16;
  c.heads = 2;
  c.mlp_width = 64;
  c.height = 4;
  c.width_pixels = 4;
  c.classes = 4;
  return c;
}

TrainOptions options(double weight_decay) {
  TrainOptions o;
  o.batch = batch;
  o.learning_rate = LearningRate::constant(learning_rate);
  o.weight_decay = weight_decay;
  o.average_decay = 0.99;
  return o;
}

template <class Exec, class View>
View uploaded(std::vector<double> const& values, View const& view) {
  auto const host = Kokkos::create_mirror_view(view);
  std::copy(values.begin(), values.end(), host.data());
  Kokkos::deep_copy(view, host);
  return view;
}

/// A recorded batch and the memory that it lies in.
template <class P, class Exec>
class Recording {
  using Image = typename P::accumulate;
  using Space = typename Exec::memory_space;
  template <class T>
  using Table = Kokkos::View<T**, Kokkos::LayoutRight, Space>;
  using Numbers = Kokkos::View<std::int64_t*, Space>;

public:
  Recording(test::TensorFile const& file, int step) {
    std::string const prefix = "step" + std::to_string(step) + ".";
    auto const table = [&](char const* name, std::size_t cols) {
      return uploaded<Exec>(file.read(prefix + name), Table<Image>("recorded", batch, cols));
    };
    auto const numbers = [&](char const* name) {
      return uploaded<Exec>(file.read(prefix + name), Numbers("recorded", batch));
    };
    x0_ = table("x0", 64);
    noise_ = table("noise", 64);
    features_ = table("t_features_f32", 256);
    t_ = numbers("t");
    labels_ = numbers("y");
    all = {x0_, noise_, t_, labels_, features_};
  }
  Recording(Recording const&) = delete;
  Recording& operator=(Recording const&) = delete;

  RecordedBatch<P, Exec> all;

private:
  Table<Image> x0_, noise_, features_;
  Numbers t_, labels_;
};

template <class View>
std::vector<double> downloaded(View const& view) {
  auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), view);
  return {host.data(), host.data() + host.size()};
}

/// Elements that differ by more than `bound`, masked ones apart; none by more than `largest`.
std::size_t beyond(std::vector<double> const& a, std::vector<double> const& b,
                   std::vector<double> const& mask, double bound, double largest) {
  REQUIRE(a.size() == b.size());
  std::size_t count = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (mask.empty() || mask[i] == 0) {
      double const difference = std::fabs(a[i] - b[i]);
      count += difference <= bound ? 0 : 1;
      CHECK(difference <= largest);
    }
  }
  return count;
}

template <class P, class Exec>
void load(test::TensorFile const& file, ParameterList<P, Exec> const& list) {
  train_default(list);
  for (auto const& entry : list) {
    auto const values = file.read(entry.name);
    entry.parameter.write(std::span<double const>(values));
  }
}

template <class Trainer>
void check_run(std::string const& folder, Trainer& trainer) {
  using P = typename Trainer::P;
  constexpr bool exact = std::is_same_v<P, precision::Float64>;
  auto const file = [&](char const* name) {
    return test::TensorFile(test::shared_data(folder + name + ".safetensors"));
  };
  auto const batches = file("batches");
  auto const losses = file("losses");
  auto const loss = losses.read("f64.loss");
  auto const norm = losses.read("f64.grad_norm");
  auto const samples = losses.read("f64.per_sample_mse_vb_loss");
  double const relative = exact ? 1e-10 : 2e-5;
  for (int step = 0; step < steps; ++step) {
    INFO("step " << step);
    auto const at = static_cast<std::size_t>(step);
    Recording<P, typename Trainer::Exec> const recording(batches, step);
    Metrics const metrics = trainer.step_on(recording.all);
    CHECK(std::fabs(metrics.loss - loss[at]) <= relative * loss[at]);
    CHECK(std::fabs(metrics.gradient_norm - norm[at]) <= relative * norm[at]);
    double mse = 0;
    double vb = 0;
    for (std::size_t n = 0; n < 4; ++n) {
      mse += samples[12 * at + n] / 4;
      vb += samples[12 * at + 4 + n] / 4;
    }
    CHECK(std::fabs(metrics.mse - mse) <= relative * loss[at]);
    CHECK(std::fabs(metrics.vb - vb) <= relative * loss[at]);
  }

  auto const parameters = file("final_params");
  auto const averages = file("final_ema");
  auto const moments = file("moments");
  auto const ill_conditioned = file("ill_conditioned");
  std::size_t beyond_bound = 0;
  for (auto const& slot : trainer.optimizer().slots()) {
    INFO(slot.name);
    std::vector<double> const mask = !exact && ill_conditioned.has(slot.name)
                                         ? ill_conditioned.read(slot.name)
                                         : std::vector<double>();
    double const bound = exact ? 1e-8 : 5e-6;
    double const largest = exact ? bound : 2 * steps * learning_rate;
    beyond_bound += beyond(downloaded(slot.parameter.master()), parameters.read(slot.name), mask,
                           bound, largest);
    auto const average = averages.read(slot.name);  // float
    beyond_bound += beyond(downloaded(slot.average), average, mask, 5e-6, largest + 5e-6);
    for (bool const first : {true, false}) {
      auto const expected = moments.read((first ? "exp_avg." : "exp_avg_sq.") + slot.name);
      double largest_element = 0;
      for (double const value : expected) {
        largest_element = std::fmax(largest_element, std::fabs(value));
      }
      double const tolerance = 5e-5 * largest_element;
      CHECK(beyond(downloaded(first ? slot.first_moment : slot.second_moment), expected, mask,
                   tolerance, INFINITY) == 0);
    }
  }
  CHECK(beyond_bound <=
        (exact ? 0 : static_cast<std::size_t>(trainer.optimizer().parameters()) / 1000));
  for (auto const& entry : trainer.parameters()) {
    if (!entry.parameter.trained()) {
      CHECK(entry.name == "pos_embed");
      CHECK(test::relative_difference(downloaded(entry.parameter.vector()),
                                      averages.read(entry.name)) < 1e-6);
    }
  }
}

struct StepCase {
  char const* name;
  double weight_decay;
};

}  // namespace

TEMPLATE_TEST_CASE("training steps are those of the original", "[training]", precision::Float64,
                   precision::Float32) {
  using Exec = Kokkos::DefaultExecutionSpace;
  auto const c =
      GENERATE(StepCase{"train_step_adamw_wd0", 0.0}, StepCase{"train_step_adamw_wd001", 0.01});
  auto const accumulate = GENERATE(1, 2);
  INFO(c.name << ", " << accumulate << " micro-batches");
  std::string const folder = std::string("golden/") + c.name + "/";
  Context<Exec> ctx;
  BasicDiT<Exec, TestType> net(ctx, config());
  ParameterList<TestType, Exec> list;
  net.parameters(list);
  load(test::TensorFile(test::shared_data(folder + "initial.safetensors")), list);
  TrainOptions o = options(c.weight_decay);
  o.accumulate = accumulate;
  Trainer trainer(ctx, net, o);
  check_run(folder, trainer);
}

#if defined(KOKKOS_ENABLE_SERIAL)
TEMPLATE_TEST_CASE("sharded training steps are those of the original", "[training]",
                   precision::Float64, precision::Float32) {
  using Exec = Kokkos::Serial;
  using Net = BasicDiT<Exec, TestType>;
  std::string const folder = "golden/train_step_adamw_wd001/";
  Context<Exec> ctx;
  Net net(ctx, config());
  ParameterList<TestType, Exec> list;
  net.parameters(list);
  load(test::TensorFile(test::shared_data(folder + "initial.safetensors")), list);
  Sharded<Net> sharded(net, [](Context<Exec>& own) { return Net(own, config()); }, {2, 2});
  Trainer trainer(std::move(sharded), options(0.01));
  check_run(folder, trainer);
}
#endif
