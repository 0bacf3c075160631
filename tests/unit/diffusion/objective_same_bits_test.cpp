// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/diffusion/objective.hpp>

#include <catch2/catch_test_macros.hpp>

#include <vector>

#include "objective_problem.hpp"

namespace objective_same_bits_test {

namespace {

struct ObjectiveBits {
  template <class Exec, class Provider>
  std::vector<double> run(dashi::Context<Exec, Provider>& ctx) const {
    dashi::test::ObjectiveProblem<float, float, Exec> p{5000, true, 0, {0, 3, 500, 0, 999}};
    dashi::diffusion::denoising_loss(ctx, dashi::diffusion::Process(), {}, p.output.view(),
                                     p.x0.view(), p.noise.view(), p.t, p.weight, p.results(),
                                     p.gradient.all());
    ctx.fence();
    p.download();
    auto values = p.gradient.values();
    auto const losses = p.losses.values();
    values.insert(values.end(), losses.begin(), losses.end());
    return values;
  }
};

}  // namespace

TEST_CASE("losses have the same bits on any number of threads", "[objective]") {
  dashi::test::check_same_bits(ObjectiveBits{});
}

}  // namespace objective_same_bits_test
