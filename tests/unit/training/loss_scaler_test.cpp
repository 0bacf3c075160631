// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/training/loss_scaler.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace dashi;
using namespace dashi::training;

TEST_CASE("the loss scale halves on overflow and doubles after good steps", "[loss_scaler]") {
  LossScaler scaler(
      {.enabled = true, .first = 64, .largest = 128, .growth_interval = 3, .give_up_after = 2});
  CHECK(scaler.scale() == 64);
  scaler.update(false);
  CHECK(scaler.scale() == 32);
  CHECK(scaler.state().skipped == 1);
  CHECK_FALSE(scaler.gives_up());
  for (int good = 0; good < 3; ++good) {
    CHECK(scaler.scale() == 32);
    scaler.update(true);
  }
  CHECK(scaler.scale() == 64);
  CHECK(scaler.state().skipped_in_row == 0);
  for (int good = 0; good < 9; ++good) {
    scaler.update(true);
  }
  CHECK(scaler.scale() == 128);
  scaler.update(false);
  scaler.update(false);
  CHECK(scaler.gives_up());
  CHECK(scaler.state().skipped == 3);
}

TEST_CASE("a restored scaler goes on where the other was", "[loss_scaler]") {
  LossScaling const options{
      .enabled = true, .first = 4, .largest = 64, .growth_interval = 3, .give_up_after = 9};
  LossScaler one(options);
  one.update(true);
  one.update(true);
  LossScaler other(options);
  other.restore(one.state());
  one.update(true);
  other.update(true);
  CHECK(one.state() == other.state());
  CHECK(other.scale() == 8);
}

TEST_CASE("a scaler that is off is 1 for ever", "[loss_scaler]") {
  LossScaler scaler;
  scaler.update(false);
  scaler.update(true);
  CHECK(scaler.scale() == 1);
  CHECK(scaler.state() == LossScalerState{});
}

TEST_CASE("only powers of two scale without rounding", "[loss_scaler]") {
  CHECK_THROWS_AS(LossScaler({.enabled = true, .first = 1000}), PreconditionError);
  CHECK_THROWS_AS(LossScaler({.enabled = true, .first = 0}), PreconditionError);
}
