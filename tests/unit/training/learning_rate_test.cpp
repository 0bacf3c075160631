// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/training/learning_rate.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace dashi;
using training::LearningRate;

TEST_CASE("a constant rate is constant after its warm-up", "[learning_rate]") {
  LearningRate const rate = LearningRate::constant(0.5).warmed_up(4);
  CHECK(rate.at(0) == 0.125);
  CHECK(rate.at(2) == 0.375);
  CHECK(rate.at(3) == 0.5);
  CHECK(rate.at(4) == 0.5);
  CHECK(rate.at(1000000) == 0.5);
  CHECK(LearningRate::constant(0.5).at(0) == 0.5);
}

TEST_CASE("a cosine goes from peak to last and stays there", "[learning_rate]") {
  LearningRate const rate = LearningRate::cosine(1, 110, 0.2).warmed_up(10);
  CHECK(rate.at(9) == 1);
  CHECK(rate.at(10) == 1);
  CHECK(std::fabs(rate.at(60) - 0.6) < 1e-15);
  CHECK(std::fabs(rate.at(35) - (0.2 + 0.4 * (1 + std::sqrt(0.5)))) < 1e-15);
  CHECK(std::fabs(rate.at(110) - 0.2) < 1e-15);
  CHECK(std::fabs(rate.at(5000) - 0.2) < 1e-15);
  for (Index step = 10; step < 110; ++step) {
    CHECK(rate.at(step + 1) < rate.at(step));
  }
}

TEST_CASE("rates that train nothing are refused", "[learning_rate]") {
  for (double const peak : {0.0, -1e-4, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    CHECK_THROWS_AS(LearningRate::constant(peak).check(), UsageError);
  }
  CHECK_THROWS_AS(LearningRate::constant(1).warmed_up(-1).check(), UsageError);
  CHECK_THROWS_AS(LearningRate::cosine(1, 10).warmed_up(10).check(), UsageError);
  CHECK_THROWS_AS(LearningRate::cosine(1, 10, 2).check(), UsageError);
  CHECK_THROWS_AS(LearningRate::cosine(1, 10, -0.1).check(), UsageError);
  CHECK_NOTHROW(LearningRate::cosine(1, 10, 0.1).warmed_up(9).check());
}
