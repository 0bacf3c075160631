// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/adamw.hpp>

#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include <limits>

#include "grid.hpp"

namespace adamw_test {

namespace {

using dashi::Index;
using dashi::kernels::AdamWOptions;
using dashi::test::Grid;
using dashi::test::roundoff;

constexpr AdamWOptions options{.learning_rate = 1e-2,
                               .beta1 = 0.9,
                               .beta2 = 0.95,
                               .epsilon = 1e-6,
                               .weight_decay = 0.1,
                               .average_decay = 0.9,
                               .gradient_scale = 0.5};

/// One parameter's history in double, written as the papers write it.
struct AdamwReference {
  double p, m = 0, v = 0, average = p;
  void step(double gradient, int t) {
    double const g = gradient * options.gradient_scale;
    m = options.beta1 * m + (1 - options.beta1) * g;
    v = options.beta2 * v + (1 - options.beta2) * g * g;
    double const m_hat = m / (1 - std::pow(options.beta1, t));
    double const v_hat = v / (1 - std::pow(options.beta2, t));
    p -= options.learning_rate * options.weight_decay * p;
    p -= options.learning_rate * m_hat / (std::sqrt(v_hat) + options.epsilon);
    average = options.average_decay * average + (1 - options.average_decay) * p;
  }
};

/// A tensor with everything that AdamW keeps.
template <class Master, class Gradient, class Exec>
struct State {
  Grid<Master, Exec> parameter, first, second, average;
  Grid<Gradient, Exec> gradient;
  Grid<dashi::BFloat16, Exec> shadow;
  bool with_average, with_shadow;

  State(Index size, unsigned seed, bool average_wanted, bool shadow_wanted)
      : parameter(Grid<Master, Exec>::random(1, size, seed)),
        first(1, size),
        second(1, size),
        average(Grid<Master, Exec>::random(1, size, seed)),
        gradient(1, size),
        shadow(1, size),
        with_average(average_wanted),
        with_shadow(shadow_wanted) {}

  dashi::kernels::AdamWTensor<Master, Gradient, dashi::BFloat16, Exec> tensor() const {
    dashi::kernels::AdamWTensor<Master, Gradient, dashi::BFloat16, Exec> t;
    t.parameter = parameter.vector();
    t.gradient = gradient.vector();
    t.first_moment = first.vector();
    t.second_moment = second.vector();
    if (with_average) {
      t.average = average.vector();
    }
    if (with_shadow) {
      t.shadow = shadow.vector();
    }
    return t;
  }
  void set_gradient(int step) {
    auto const values =
        Grid<Gradient, Exec>::random(1, gradient.cols(), static_cast<unsigned>(100 + step), 0.1);
    for (Index i = 0; i < gradient.cols(); ++i) {
      gradient.set(0, i, values(0, i));
    }
    gradient.upload();
  }
  void download() {
    for (auto* grid : {&parameter, &first, &second, &average}) {
      grid->download();
    }
    shadow.download();
  }
};

template <class Master, class Gradient, class Exec>
void check_steps(bool by_teams) {
  dashi::Context<Exec, dashi::provider::Portable> ctx;
  std::vector<State<Master, Gradient, Exec>> states;
  states.emplace_back(1, 1U, true, true);
  states.emplace_back(70'003, 2U, true, false);
  states.emplace_back(0, 3U, true, true);
  states.emplace_back(97, 4U, false, true);
  std::vector<std::vector<AdamwReference>> expected;
  std::vector<dashi::kernels::AdamWTensor<Master, Gradient, dashi::BFloat16, Exec>> tensors;
  for (auto const& state : states) {
    tensors.push_back(state.tensor());
    expected.emplace_back();
    for (double const p : state.parameter.values()) {
      expected.back().push_back({p});
    }
  }
  dashi::kernels::AdamW const adamw(ctx, tensors);
  CHECK(adamw.parameters() == 70'101);
  constexpr int steps = 4;
  for (int step = 1; step <= steps; ++step) {
    for (std::size_t s = 0; s < states.size(); ++s) {
      states[s].set_gradient(step);
      for (std::size_t i = 0; i < expected[s].size(); ++i) {
        expected[s][i].step(states[s].gradient(0, static_cast<Index>(i)), step);
      }
    }
    if (by_teams) {
      dashi::kernels::detail::adamw_by_teams(ctx.exec(), adamw.pieces(),
                                             adamw.kernel(options, step));
    } else {
      adamw.step(ctx, options, step);
    }
    ctx.fence();
  }
  double worst = 0;
  Index wrong_shadows = 0;
  for (std::size_t s = 0; s < states.size(); ++s) {
    states[s].download();
    for (std::size_t n = 0; n < expected[s].size(); ++n) {
      auto const i = static_cast<Index>(n);
      auto const& state = states[s];
      AdamwReference const& e = expected[s][n];
      worst = std::max(worst, std::abs(state.parameter(0, i) - e.p) / (1 + std::abs(e.p)));
      worst = std::max(worst, std::abs(state.first(0, i) - e.m));
      worst = std::max(worst, std::abs(state.second(0, i) - e.v));
      double const average = state.with_average ? e.average : state.average(0, i);
      worst = std::max(worst, std::abs(state.average(0, i) - average) / (1 + std::abs(e.p)));
      double const shadow = state.with_shadow
                                ? dashi::convert<double>(dashi::convert<dashi::BFloat16>(
                                      static_cast<Master>(state.parameter(0, i))))
                                : 0.0;
      wrong_shadows += state.shadow(0, i) != shadow;
    }
  }
  CHECK(worst < 4 * steps * roundoff<Master>());
  CHECK(wrong_shadows == 0);
}

struct TwoSteps {
  template <class Exec>
  std::vector<double> run(dashi::Context<Exec>& ctx) const {
    State<float, float, Exec> state(100'001, 5, true, true);
    dashi::kernels::AdamW const adamw(ctx, std::vector{state.tensor()});
    for (int const step : {1, 2}) {
      state.set_gradient(step);
      adamw.step(ctx, options, step);
      ctx.fence();
    }
    state.download();
    std::vector<double> all = state.parameter.values();
    auto const average = state.average.values();
    all.insert(all.end(), average.begin(), average.end());
    return all;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("AdamW with average and copy follows the equations", "[adamw]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  for (bool const by_teams : {false, true}) {
#if !defined(DASHI_TEST_ONE_SCALAR)
    check_steps<double, double, TestType>(by_teams);
#endif
    check_steps<float, float, TestType>(by_teams);
#if !defined(DASHI_TEST_ONE_SCALAR)
    check_steps<float, dashi::BFloat16, TestType>(by_teams);
    check_steps<float, dashi::Float16, TestType>(by_teams);
#endif
  }
}

TEST_CASE("AdamW gives the numbers of torch.optim.AdamW", "[adamw]") {
  using Exec = Kokkos::Serial;
  dashi::Context<Exec> ctx;
  State<double, double, Exec> state(4, 1, true, false);
  double const start[] = {0.5, -1.25, 2.0, 0.03125};
  double const gradients[3][4] = {
      {0.1, -0.2, 0.0, 3.0}, {-0.3, 0.5, 0.0, 1e-4}, {0.25, 0.125, -2.0, -1.0}};
  for (Index i = 0; i < 4; ++i) {
    state.parameter.set(0, i, start[i]);
    state.average.set(0, i, start[i]);
  }
  state.parameter.upload();
  state.average.upload();
  dashi::kernels::AdamW const adamw(ctx, std::vector{state.tensor()});
  AdamWOptions torch = options;
  torch.gradient_scale = 1;
  for (int step = 1; step <= 3; ++step) {
    for (Index i = 0; i < 4; ++i) {
      state.gradient.set(0, i, gradients[step - 1][i]);
    }
    state.gradient.upload();
    adamw.step(ctx, torch, step);
  }
  ctx.fence();
  state.download();
  // torch 2.15, double, lr 1e-2, betas (0.9, 0.95), eps 1e-6, weight_decay 0.1; average by hand.
  double const parameters[] = {0.492450260202057, -1.2454378673284883, 2.0002382236426444,
                               0.01144553058026133};
  double const averages[] = {0.4978458523523516, -1.247902977678208, 1.9995020023642647,
                             0.026941494888562293};
  for (Index i = 0; i < 4; ++i) {
    CHECK(std::abs(state.parameter(0, i) - parameters[i]) < 1e-14);
    CHECK(std::abs(state.average(0, i) - averages[i]) < 1e-14);
  }
}

TEMPLATE_TEST_CASE("the square root of updates is right to a unit in the last place", "[adamw]",
                   float, double) {
  using dashi::kernels::detail::square_root;
  using Limits = std::numeric_limits<TestType>;
  double worst = 0;
  for (int i = -2000; i <= 2000; ++i) {
    auto const x = static_cast<TestType>(std::exp2(Limits::max_exponent * 0.99 * i / 2000));
    auto const e = std::sqrt(static_cast<long double>(x));
    double const unit = std::ldexp(1.0, std::ilogb(static_cast<double>(e)) - (Limits::digits - 1));
    worst = std::max(worst, static_cast<double>(std::abs(square_root(x) - e)) / unit);
  }
  CHECK(worst < 1.0);
  CHECK(square_root(TestType(0)) == 0);
  CHECK(square_root(Limits::infinity()) == Limits::infinity());
  CHECK(std::isnan(square_root(Limits::quiet_NaN())));
  CHECK(std::abs(square_root(Limits::denorm_min()) / std::sqrt(Limits::denorm_min()) - 1) < 1e-6);
}

TEST_CASE("AdamW has the same bits for any number of threads", "[adamw]") {
  dashi::test::check_same_bits(TwoSteps{});
}

TEST_CASE("AdamW refuses tensors whose state does not fit, a step 0 and betas that are not below 1",
          "[adamw]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  dashi::Context<Exec> ctx;
  State<float, float, Exec> const state(5, 1, true, true);
  Grid<float, Exec> const other(1, 6);
  auto tensor = state.tensor();
  tensor.gradient = other.vector();
  CHECK_THROWS_AS(dashi::kernels::AdamW(ctx, std::vector{tensor}), dashi::PreconditionError);
  dashi::kernels::AdamW const adamw(ctx, std::vector{state.tensor()});
  CHECK_THROWS_AS(adamw.step(ctx, options, 0), dashi::PreconditionError);
  for (double const beta : {1.0, -0.1, std::numeric_limits<double>::quiet_NaN()}) {
    AdamWOptions bad = options;
    bad.beta1 = beta;
    CHECK_THROWS_AS(adamw.step(ctx, bad, 1), dashi::PreconditionError);
    bad = options;
    bad.beta2 = beta;
    CHECK_THROWS_AS(adamw.step(ctx, bad, 1), dashi::PreconditionError);
  }
  AdamWOptions none = options;
  none.beta1 = 0;
  none.beta2 = 0;
  adamw.step(ctx, none, 1);
  ctx.fence();
}

}  // namespace adamw_test
