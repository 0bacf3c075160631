// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/training/averaged_values.hpp>
#include <dashi/training/gradient_norm.hpp>
#include <dashi/training/optimizer.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <span>
#include <string>
#include <vector>

using namespace dashi;
using namespace dashi::training;

namespace {

using Exec = Kokkos::DefaultExecutionSpace;

/// Three parameters; the second is frozen.
template <class P>
struct Few {
  Context<Exec> ctx;
  ParameterList<P, Exec> list;

  Few() {
    for (int i = 0; i < 3; ++i) {
      Parameter<P, Exec> const parameter("few", 10 + i, 7);
      list.add("p" + std::to_string(i), parameter, ParameterKind::weight, i != 1);
    }
    train_default(list);
    for (std::size_t i = 0; i < 3; ++i) {
      write(i, [&](std::size_t k) { return 0.25 * static_cast<double>(k % 9) - 1; });
    }
  }
  template <class Value>
  void write(std::size_t i, Value const& value) {
    std::vector<double> values(static_cast<std::size_t>(list[i].parameter.size()));
    for (std::size_t k = 0; k < values.size(); ++k) {
      values[k] = value(k);
    }
    list[i].parameter.write(std::span<double const>(values));
  }
  void set_gradient(std::size_t i, double value) {
    Kokkos::deep_copy(list[i].parameter.gradient(), static_cast<typename P::accumulate>(value));
  }
};

template <class View>
std::vector<double> numbers(View const& view) {
  auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), view);
  std::vector<double> values(host.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<double>(convert<float>(host.data()[i]));
  }
  return values;
}

}  // namespace

TEST_CASE("frozen parameters take no memory of the optimizer", "[optimizer]") {
  Few<precision::Float32> few;
  Optimizer const optimizer(few.ctx, few.list, true);
  CHECK(optimizer.parameters() == 70 + 84);
  CHECK(optimizer.slots().size() == 2);
  CHECK(Optimizer<precision::Float32, Exec>::bytes(few.list, true) == 3 * (96 + 96) * 4);
  CHECK(few.list[1].parameter.gradient().size() == 0);
}

TEMPLATE_TEST_CASE("the average follows the parameters", "[optimizer]", precision::Float32,
                   precision::Bf16Mixed) {
  Few<TestType> few;
  Optimizer const optimizer(few.ctx, few.list, true);
  auto const& slot = optimizer.slots().front();
  auto expected = numbers(slot.parameter.master());
  CHECK(numbers(slot.average) == expected);
  kernels::AdamWOptions options;
  options.learning_rate = 0.1;
  options.average_decay = 0.75;
  for (int step = 1; step <= 4; ++step) {
    few.set_gradient(0, 0.5 - step);
    few.set_gradient(2, 0.5);
    optimizer.kernel().step(few.ctx, options, step);
    few.ctx.fence();
    auto const values = numbers(slot.parameter.master());
    auto const average = numbers(slot.average);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      expected[i] = 0.75 * expected[i] + 0.25 * values[i];
      CHECK(std::fabs(average[i] - expected[i]) < 1e-6);
    }
  }
}

TEMPLATE_TEST_CASE("averages stand in for the values and go again", "[optimizer]",
                   precision::Float32, precision::Bf16Mixed) {
  Few<TestType> few;
  Optimizer const optimizer(few.ctx, few.list, true);
  few.write(0, [](std::size_t k) { return 0.001 * static_cast<double>(k) + 0.3; });
  auto const& slot = optimizer.slots().front();
  auto const values = numbers(slot.parameter.vector());
  auto const average = numbers(slot.average);
  REQUIRE(values != average);
  {
    AveragedValues const averaged(few.ctx, optimizer);
    few.ctx.fence();
    auto const shown = numbers(slot.parameter.vector());
    for (std::size_t i = 0; i < shown.size(); ++i) {
      CHECK(std::fabs(shown[i] - average[i]) <= std::fabs(average[i]) / 256);
    }
  }
  few.ctx.fence();
  CHECK(numbers(slot.parameter.vector()) == values);
  CHECK(numbers(slot.average) == average);
}

TEST_CASE("the norm is over all trained gradients", "[optimizer]") {
  Few<precision::Float64> few;
  few.set_gradient(0, 2);
  few.set_gradient(2, -3);
  few.ctx.reserve_scratch(GradientNorm<precision::Float64, Exec>::scratch_bytes(few.list));
  GradientNorm const norm(few.list);
  norm.launch(few.ctx);
  few.ctx.fence();
  CHECK(std::fabs(norm.value() - std::sqrt(70 * 4.0 + 84 * 9.0)) < 1e-12);
}

TEST_CASE("clipping scales down to the largest norm", "[optimizer]") {
  CHECK(clip_factor(4, 1) == 0.25);
  CHECK(clip_factor(0.5, 1) == 1);
  CHECK(clip_factor(4, 0) == 1);
}
