// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/random_purpose.hpp>
#include <dashi/diffusion/chain_of_forgetting.hpp>
#include <dashi/diffusion/timestep_distribution.hpp>
#include <dashi/diffusion/uniform_steps.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/device_copy.hpp"
#include "support/test_scalars.hpp"
#include "unit/kernels_blocks/grid.hpp"

namespace timestep_policy_test {

namespace {

using namespace dashi::diffusion;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinRel;
using dashi::Index;
using dashi::test::device_copy;
using dashi::test::host_copy;

/// Exactly what the concept asks for; draws the steps 2 and 5 only, 5 three times as often.
struct PolicyArchetype {
  explicit PolicyArchetype(int) {}
  PolicyArchetype(PolicyArchetype const&) = delete;
  PolicyArchetype& operator=(PolicyArchetype const&) = delete;
  double frequency(BatchPart, Index step, Index) const {
    return step == 2 ? 1.0 : step == 5 ? 3.0 : 0.0;
  }
  double loss_weight(BatchPart part, Index step, Index) const {
    return part == BatchPart::source ? -1.0 : static_cast<double>(step);
  }
  Index source_samples(Index batch) const { return batch / 2; }
};

static_assert(TimestepPolicy<PolicyArchetype> && require_timestep_policy<PolicyArchetype>());
static_assert(TimestepPolicy<UniformSteps> && TimestepPolicy<ChainOfForgetting>);
static_assert(!TimestepPolicy<int>);

struct NoFrequency : UniformSteps {
  double value;
  double frequency(BatchPart, Index, Index) const { return value; }
};

constexpr dashi::RandomPlace step_place{dashi::random_purpose::timesteps, 9, 100};

template <class Exec>
void check_draws(TimestepDistribution const& distribution) {
  constexpr Index samples = 50;
  auto const t = device_copy<Exec>(std::vector<std::int64_t>(samples, -1));
  auto const weight = device_copy<Exec>(std::vector<double>(samples, -1));
  dashi::Context<Exec> ctx;
  draw_timesteps(ctx, distribution, 11, step_place, 80, t, weight);
  ctx.fence();
  auto const steps = host_copy(t);
  auto const weights = host_copy(weight);
  for (Index n = 0; n < samples; ++n) {
    auto at = step_place;
    at.sample += static_cast<std::uint32_t>(n);
    double const u = dashi::Philox(11, at).uniform<double>(0);
    double below = 0;
    for (Index k = 0; k < steps[static_cast<std::size_t>(n)]; ++k) {
      below += distribution.probability(k);
    }
    INFO("sample " << n << ", step " << steps[static_cast<std::size_t>(n)]);
    CHECK(below <= u * (1 + 1e-12));
    CHECK(u < (below + distribution.probability(steps[static_cast<std::size_t>(n)])) * (1 + 1e-12));
    CHECK(weights[static_cast<std::size_t>(n)] == 0.1 / 80);
  }
}

struct StepBits {
  template <class Exec, class Provider>
  std::vector<double> run(dashi::Context<Exec, Provider>& ctx) const {
    TimestepDistribution const distribution(ChainOfForgetting{}, BatchPart::target, 1000);
    auto const t = device_copy<Exec>(std::vector<std::int64_t>(300));
    draw_timesteps(ctx, distribution, 3, step_place, 300, t);
    ctx.fence();
    auto const steps = host_copy(t);
    return {steps.begin(), steps.end()};
  }
};

}  // namespace

TEST_CASE("The chain of forgetting has the paper's numbers", "[timestep_policy]") {
  ChainOfForgetting const policy;
  TimestepDistribution const target(policy, BatchPart::target, 1000);
  TimestepDistribution const source(policy, BatchPart::source, 1000);
  CHECK(target.total() == 500500);
  CHECK(source.total() == 500500);
  CHECK(target.mean() == 666);
  CHECK(source.mean() == 333);
  CHECK(target.probability(0) == 1 / 500500.0);
  CHECK(source.probability(999) == 1 / 500500.0);
  for (Index const k : {0, 17, 500, 999}) {
    // psi + xi = 2 relative to uniform steps.
    CHECK_THAT(1000 * (target.probability(k) + source.probability(k)), WithinRel(2.0, 1e-12));
  }
  CHECK(policy.source_samples(32) == 6);
  CHECK(policy.source_samples(4) == 0);
  CHECK(policy.loss_weight(BatchPart::target, 3, 1000) == 1);
  CHECK(policy.loss_weight(BatchPart::source, 3, 1000) == 0.1);
}

TEST_CASE("The source of the chain of forgetting can have its own exponent", "[timestep_policy]") {
  ChainOfForgetting const squared{.exponent = 2};
  ChainOfForgetting const apart{.exponent = 2, .source_exponent = 0};
  CHECK(squared.frequency(BatchPart::target, 2, 10) == 9);
  CHECK(squared.frequency(BatchPart::source, 2, 10) == 64);
  CHECK(apart.frequency(BatchPart::target, 2, 10) == 9);
  CHECK(apart.frequency(BatchPart::source, 2, 10) == 1);
  CHECK_THROWS_AS(ChainOfForgetting{.source_share = 1}.source_samples(8), dashi::PreconditionError);
}

TEST_CASE("Uniform steps are uniform", "[timestep_policy]") {
  TimestepDistribution const distribution(UniformSteps{}, BatchPart::target, 1000);
  CHECK(distribution.probability(0) == 0.001);
  CHECK(distribution.probability(999) == 0.001);
  CHECK(distribution.mean() == 499.5);
  CHECK(UniformSteps{}.source_samples(32) == 0);
}

TEMPLATE_TEST_CASE("steps are drawn by the inverse of their distribution", "[timestep_policy]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  check_draws<TestType>(TimestepDistribution(ChainOfForgetting{}, BatchPart::source, 1000));
  check_draws<TestType>(
      TimestepDistribution(ChainOfForgetting{.exponent = 3}, BatchPart::source, 7));
}

TEST_CASE("steps come as often as the policy says", "[timestep_policy]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  constexpr std::size_t samples = 20000;
  auto const t = device_copy<Exec>(std::vector<std::int64_t>(samples));
  auto const weight = device_copy<Exec>(std::vector<double>(samples));
  dashi::Context<Exec> ctx;
  PolicyArchetype const policy(0);
  CHECK(policy.source_samples(9) == 4);
  draw_timesteps(ctx, TimestepDistribution(policy, BatchPart::target, 8), 5, step_place, samples, t,
                 weight);
  ctx.fence();
  auto const steps = host_copy(t);
  auto const weights = host_copy(weight);
  std::size_t fives = 0;
  for (std::size_t n = 0; n < samples; ++n) {
    REQUIRE((steps[n] == 2 || steps[n] == 5));
    CHECK(weights[n] == static_cast<double>(steps[n]) / samples);
    fives += steps[n] == 5 ? 1U : 0U;
  }
  // Five standard deviations of a binomial with 3/4.
  CHECK(std::abs(static_cast<double>(fives) - 15000) < 5 * std::sqrt(20000 * 3.0 / 16));
}

TEST_CASE("the ends of the unit interval draw steps that can be drawn", "[timestep_policy]") {
  TimestepDistribution const distribution(PolicyArchetype(0), BatchPart::target, 8);
  auto const view = distribution.view<Kokkos::DefaultHostExecutionSpace>();
  CHECK(view.draw(0) == 2);
  CHECK(view.draw(std::nextafter(0.25, 0.0)) == 2);
  CHECK(view.draw(0.25) == 5);
  CHECK(view.draw(1.0) == 5);
}

TEST_CASE("a policy that draws nothing or no number is refused", "[timestep_policy]") {
  auto const make = [](double value) {
    NoFrequency policy;
    policy.value = value;
    return TimestepDistribution(policy, BatchPart::target, 4);
  };
  CHECK_THROWS_MATCHES(make(0), dashi::PreconditionError,
                       MessageMatches(ContainsSubstring("must draw some step")));
  CHECK_THROWS_MATCHES(make(-1), dashi::PreconditionError,
                       MessageMatches(ContainsSubstring("of step 0")));
  CHECK_THROWS_AS(make(std::numeric_limits<double>::infinity()), dashi::PreconditionError);
  CHECK(make(2).probability(3) == 0.25);
}

TEST_CASE("drawn steps are the same on any number of threads", "[timestep_policy]") {
  dashi::test::check_same_bits(StepBits{});
}

}  // namespace timestep_policy_test
