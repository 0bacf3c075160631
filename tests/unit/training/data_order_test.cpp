// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/random_purpose.hpp>
#include <dashi/training/data_order.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

using namespace dashi;
using namespace dashi::training;

namespace {

constexpr auto purpose = random_purpose::data_order;

std::vector<std::uint64_t> taken(DataOrder const& order, std::uint64_t first, std::uint64_t last,
                                 Index per_step) {
  std::vector<std::uint64_t> items;
  for (std::uint64_t step = first; step < last; ++step) {
    for (Index sample = 0; sample < per_step; ++sample) {
      items.push_back(order.item(step, sample));
    }
  }
  return items;
}

}  // namespace

TEST_CASE("an epoch has every item once", "[data_order]") {
  for (std::uint64_t const items : {1U, 2U, 3U, 5U, 16U, 17U, 1000U, 4097U}) {
    for (std::uint64_t const epoch : {0U, 1U, 900U}) {
      std::set<std::uint64_t> seen;
      for (std::uint64_t i = 0; i < items; ++i) {
        seen.insert(permuted(3, purpose, epoch, items, i));
      }
      CHECK(seen.size() == items);
      CHECK(*seen.rbegin() == items - 1);
    }
  }
}

TEST_CASE("permutations of a few items are equally frequent", "[data_order]") {
  constexpr std::uint64_t items = 4;
  constexpr int draws = 24000;
  std::map<std::uint64_t, int> count;
  for (int epoch = 0; epoch < draws; ++epoch) {
    std::uint64_t code = 0;
    for (std::uint64_t i = 0; i < items; ++i) {
      code = code * items + permuted(1, purpose, static_cast<std::uint64_t>(epoch), items, i);
    }
    ++count[code];
  }
  CHECK(count.size() == 24);
  double statistic = 0;  // chi squared, 23 degrees of freedom: above 53 with probability 0.0004
  for (auto const& [code, times] : count) {
    statistic += std::pow(times - draws / 24.0, 2) / (draws / 24.0);
  }
  CHECK(statistic < 53);
}

TEST_CASE("epochs, seeds and purposes have orders of their own", "[data_order]") {
  auto const order = [](std::uint64_t seed, std::uint16_t what, std::uint64_t epoch) {
    std::vector<std::uint64_t> items;
    for (std::uint64_t i = 0; i < 50; ++i) {
      items.push_back(permuted(seed, what, epoch, 50, i));
    }
    return items;
  };
  CHECK(order(1, purpose, 0) == order(1, purpose, 0));
  CHECK(order(1, purpose, 0) != order(1, purpose, 1));
  CHECK(order(1, purpose, 0) != order(2, purpose, 0));
  CHECK(order(1, purpose, 0) != order(1, random_purpose::source_order, 0));
}

TEST_CASE("batches run on over epochs, or leave out the rest", "[data_order]") {
  DataOrder const epochs(7, purpose, 10, 4, Shuffle::epochs);
  auto const five_steps = taken(epochs, 0, 5, 4);  // two epochs
  CHECK(std::set(five_steps.begin(), five_steps.begin() + 10).size() == 10);
  CHECK(std::set(five_steps.begin() + 10, five_steps.end()).size() == 10);
  CHECK(taken(epochs, 3, 5, 4) ==
        std::vector<std::uint64_t>(five_steps.begin() + 12, five_steps.end()));

  DataOrder const whole(7, purpose, 10, 4, Shuffle::drop_last);
  for (std::uint64_t epoch = 0; epoch < 20; ++epoch) {
    auto const items = taken(whole, 2 * epoch, 2 * epoch + 2, 4);
    CHECK(std::set(items.begin(), items.end()).size() == 8);
  }
  CHECK_THROWS_AS(DataOrder(7, purpose, 3, 4, Shuffle::drop_last), PreconditionError);
}

TEST_CASE("with replacement every item is as likely", "[data_order]") {
  DataOrder const order(7, purpose, 10, 100, Shuffle::replacement);
  std::vector<int> count(10);
  for (std::uint64_t const item : taken(order, 0, 100, 100)) {
    ++count.at(item);
  }
  for (int const times : count) {
    CHECK(std::abs(times - 1000) < 150);  // five standard deviations
  }
}
