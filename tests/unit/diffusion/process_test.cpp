// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/error.hpp>
#include <dashi/diffusion/cosine_schedule.hpp>
#include <dashi/diffusion/process.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

namespace process_test {

using namespace dashi::diffusion;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinRel;
using dashi::Index;

namespace {

/// Exactly what the concept asks for.
struct ScheduleArchetype {
  explicit ScheduleArchetype(int) {}
  ScheduleArchetype(ScheduleArchetype const&) = delete;
  ScheduleArchetype& operator=(ScheduleArchetype const&) = delete;
  std::vector<double> betas(Index steps) const {
    return std::vector<double>(static_cast<std::size_t>(steps), 0.25);
  }
};

static_assert(NoiseSchedule<ScheduleArchetype> && require_noise_schedule<ScheduleArchetype>());
static_assert(NoiseSchedule<LinearSchedule> && NoiseSchedule<CosineSchedule>);
static_assert(!NoiseSchedule<int>);

struct ListedSchedule {
  std::vector<double> values;
  std::vector<double> betas(Index) const { return values; }
};

}  // namespace

TEST_CASE("A process has the cumulative products that the papers state", "[diffusion]") {
  Process const process;
  REQUIRE(process.steps() == 1000);
  CHECK_THAT(process.alpha_cumprod(0), WithinRel(0.9999, 1e-12));
  CHECK_THAT(process.alpha_cumprod(249), WithinRel(0.5240853738, 1e-9));
  CHECK_THAT(process.alpha_cumprod(499), WithinRel(0.0785872429, 1e-9));
  CHECK_THAT(process.alpha_cumprod(749), WithinRel(0.0033505504, 1e-7));
  CHECK_THAT(process.alpha_cumprod(999), WithinRel(4.0358297654e-5, 1e-10));
  CHECK_THAT(process.snr(499), WithinRel(0.0785872429 / (1 - 0.0785872429), 1e-9));
  CHECK(process.timestep(999) == 999);
}

TEST_CASE("A user's schedule needs no more than the concept says", "[diffusion]") {
  ScheduleArchetype const schedule(0);
  Process const process(schedule, 3);
  CHECK_THAT(process.alpha_cumprod(2), WithinRel(0.75 * 0.75 * 0.75, 1e-15));
  CHECK_THAT(process.at(Coefficient::posterior_mean_x0, 1),
             WithinRel(0.25 * std::sqrt(0.75) / (1 - 0.5625), 1e-14));
  CHECK_THAT(process.at(Coefficient::posterior_mean_xt, 1),
             WithinRel(0.25 * std::sqrt(0.75) / (1 - 0.5625), 1e-14));
}

TEST_CASE("A process of one step has a finite clipped variance", "[diffusion]") {
  Process const process(ScheduleArchetype(0), 1);
  CHECK(process.at(Coefficient::posterior_variance, 0) == 0);
  CHECK_THAT(process.at(Coefficient::posterior_log_variance_clipped, 0),
             WithinRel(std::log(0.25), 1e-14));
}

TEST_CASE("The linear schedule keeps its end for other numbers of steps", "[diffusion]") {
  auto const betas = LinearSchedule{}.betas(500);
  CHECK_THAT(betas.front(), WithinRel(2e-4, 1e-14));
  CHECK_THAT(betas.back(), WithinRel(0.04, 1e-14));
  CHECK_THAT(Process(LinearSchedule{}, 500).alpha_cumprod(499), WithinRel(4.04e-5, 0.25));
  CHECK(LinearSchedule{}.betas(1) == std::vector<double>{0.1});
}

TEST_CASE("The cosine schedule has the products of its equation", "[diffusion]") {
  Process const process(CosineSchedule{}, 1000);
  auto const f = [](double t) {
    double const c = std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2);
    return c * c;
  };
  for (Index const step : {0, 1, 250, 500, 998}) {
    INFO("step " << step);
    CHECK_THAT(process.alpha_cumprod(step),
               WithinRel(f(static_cast<double>(step + 1) / 1000) / f(0), 1e-10));
  }
  CHECK(process.beta(999) == 0.999);
}

TEST_CASE("Spacings count as the original does", "[diffusion]") {
  CHECK(Spacing("4").steps(10) == std::vector<Index>{0, 3, 6, 9});
  CHECK(Spacing(4).steps(10) == std::vector<Index>{0, 3, 6, 9});
  CHECK(Spacing("ddim5").count() == 5);
  CHECK(Spacing("2,3,1").count() == 6);
  CHECK(Spacing("1").steps(10) == std::vector<Index>{0});
  CHECK(Spacing("ddim5").steps(10) == std::vector<Index>{0, 2, 4, 6, 8});
  // Sections of 4, 3 and 3 steps.
  CHECK(Spacing("2,3,1").steps(10) == std::vector<Index>{0, 3, 4, 5, 6, 7});
  // Strides of 1.5: halves go to the even neighbour.
  CHECK(Spacing("5").steps(7) == std::vector<Index>{0, 2, 3, 4, 6});
}

TEST_CASE("A spacing that does not fit is refused in a sentence", "[diffusion]") {
  CHECK_THROWS_MATCHES(Spacing("11").steps(10), dashi::UsageError,
                       MessageMatches(ContainsSubstring("cannot give 11")));
  CHECK_THROWS_MATCHES(Spacing("ddim7").steps(10), dashi::UsageError,
                       MessageMatches(ContainsSubstring("visits exactly 7")));
  for (char const* text : {"", "x", "5,", "-3", "0", "4 ", "ddim", "3,,3"}) {
    INFO(text);
    CHECK_THROWS_MATCHES(Spacing(text).steps(10), dashi::UsageError,
                         MessageMatches(ContainsSubstring("is no number of steps")));
  }
}

TEST_CASE("Respacing twice keeps the timesteps of training", "[diffusion]") {
  Process const process = Process().respaced(Spacing("250")).respaced(Spacing("ddim50"));
  REQUIRE(process.steps() == 50);
  auto const once = Spacing("250").steps(1000);
  CHECK(process.timestep(0) == 0);
  CHECK(process.timestep(49) == once[245]);
  CHECK_THAT(process.alpha_cumprod(49), WithinRel(Process().alpha_cumprod(once[245]), 1e-12));
}

TEST_CASE("A process refuses what is no schedule", "[diffusion]") {
  CHECK_THROWS_MATCHES(Process(LinearSchedule{}, 0), dashi::PreconditionError,
                       MessageMatches(ContainsSubstring("at least one step")));
  CHECK_THROWS_MATCHES(Process(ListedSchedule{{0.1}}, 2), dashi::PreconditionError,
                       MessageMatches(ContainsSubstring("gave 1 betas for 2 steps")));
  CHECK_THROWS_MATCHES(Process(ListedSchedule{{0.1, 1.0}}, 2), dashi::PreconditionError,
                       MessageMatches(ContainsSubstring("beta of step 1")));
  CHECK_THROWS_MATCHES(Process().alpha_cumprod(1000), dashi::PreconditionError,
                       MessageMatches(ContainsSubstring("step 1000 of a process of 1000")));
}

}  // namespace process_test
