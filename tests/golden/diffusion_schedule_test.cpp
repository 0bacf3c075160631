// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/golden_arrays.hpp"

#include <dashi/diffusion/process.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

// Schedules and respaced schedules of the original code: ../shared/golden/diffusion_schedule.

using dashi::Index;
using namespace dashi::diffusion;
using dashi::test::difference_each;
using dashi::test::GoldenArrays;

namespace {

constexpr double closeness = 1e-12;

double difference(Process const& process, Coefficient which, std::vector<double> const& expected) {
  auto const actual = process.table(which);
  return difference_each(actual, expected);
}

}  // namespace

TEST_CASE("golden: the linear schedule of 1000 steps", "[diffusion]") {
  GoldenArrays const golden("diffusion_schedule/schedule.safetensors");
  Process const process;
  using enum Coefficient;
  std::vector<std::pair<char const*, Coefficient>> const tables{
      {"betas", beta},
      {"alphas_cumprod", alpha_cumprod},
      {"alphas_cumprod_prev", alpha_cumprod_prev},
      {"alphas_cumprod_next", alpha_cumprod_next},
      {"posterior_variance", posterior_variance},
      {"posterior_log_variance_clipped", posterior_log_variance_clipped},
      {"posterior_mean_coef1", posterior_mean_x0},
      {"posterior_mean_coef2", posterior_mean_xt},
      {"sqrt_recip_alphas_cumprod", sqrt_recip_alpha_cumprod},
      {"sqrt_recipm1_alphas_cumprod", sqrt_recipm1_alpha_cumprod}};
  for (auto const& [name, which] : tables) {
    INFO(name);
    CHECK(difference(process, which, golden(name)) <= closeness);
  }
}

TEST_CASE("golden: respaced processes", "[diffusion]") {
  GoldenArrays const golden("diffusion_schedule/respaced.safetensors");
  Process const process;
  for (std::string const text : {"250", "50", "ddim25", "ddim50", "10", "1000"}) {
    INFO(text);
    Process const respaced = process.respaced(Spacing(text));
    CHECK(difference(respaced, Coefficient::timestep, golden(text + ".timestep_map")) == 0);
    CHECK(difference(respaced, Coefficient::beta, golden(text + ".betas")) <= closeness);
    CHECK(difference(respaced, Coefficient::alpha_cumprod, golden(text + ".alphas_cumprod")) <=
          closeness);
    CHECK(difference(respaced, Coefficient::posterior_variance,
                     golden(text + ".posterior_variance")) <= closeness);
    CHECK(difference(respaced, Coefficient::posterior_log_variance_clipped,
                     golden(text + ".posterior_log_variance_clipped")) <= closeness);
    CHECK(difference(respaced, Coefficient::posterior_mean_x0,
                     golden(text + ".posterior_mean_coef1")) <= closeness);
    CHECK(difference(respaced, Coefficient::posterior_mean_xt,
                     golden(text + ".posterior_mean_coef2")) <= closeness);
  }
}
