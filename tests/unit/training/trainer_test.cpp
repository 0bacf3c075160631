// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "training_fixture.hpp"

#include <dashi/training/sharded.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <golden_case.hpp>

using namespace dashi;
using namespace dashi::training;
using namespace dashi::test;

namespace {

using Exec = Kokkos::DefaultExecutionSpace;
using Net = BasicDiT<Exec, precision::Float32>;

}  // namespace

TEST_CASE("losses fall", "[training]") {
  Model<Net> model;
  Squares const data;
  Trainer trainer(model.ctx, model.net, small_options());
  double first = 0;
  double last = 0;
  for (int step = 0; step < 60; ++step) {
    Metrics const metrics = trainer.step(data);
    CHECK(metrics.step == step + 1);
    (step < 10 ? first : last) += step < 10 || step >= 50 ? metrics.mse : 0;
  }
  CHECK(last < 0.8 * first);
}
