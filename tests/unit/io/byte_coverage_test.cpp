// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/byte_coverage.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

using dashi::io::ByteCoverage;

TEST_CASE("ranges that overlap or lie outside are refused") {
  ByteCoverage coverage(100);
  CHECK(coverage.add(10, 20));
  CHECK(coverage.add(30, 40));
  for (auto const& [begin, end] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{
           {10, 20}, {9, 11}, {19, 21}, {12, 15}, {0, 50}, {5, 35}, {39, 100}, {90, 101}, {3, 2}}) {
    CAPTURE(begin, end);
    CHECK_FALSE(coverage.add(begin, end));
  }
  CHECK(coverage.add(15, 15));
  CHECK(coverage.first_gap() == 0);
  CHECK(coverage.add(20, 30));
  CHECK(coverage.add(0, 10));
  CHECK(coverage.first_gap() == 40);
  CHECK(coverage.add(40, 100));
  CHECK(coverage.first_gap() == 100);
  CHECK(ByteCoverage(0).first_gap() == 0);
}

TEST_CASE("coverage agrees with one flag a byte") {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    constexpr std::uint64_t size = 40;
    ByteCoverage coverage(size);
    std::vector<bool> flags(size);
    for (int i = 0; i < 60; ++i) {
      std::uint64_t const begin = random() % size;
      std::uint64_t const end = begin + random() % std::min<std::uint64_t>(6, size - begin + 1);
      bool free = true;
      for (std::uint64_t b = begin; b < end; ++b) {
        free = free && !flags[b];
      }
      REQUIRE(coverage.add(begin, end) == free);
      if (free) {
        std::fill(flags.begin() + static_cast<std::ptrdiff_t>(begin),
                  flags.begin() + static_cast<std::ptrdiff_t>(end), true);
      }
      auto const gap = std::find(flags.begin(), flags.end(), false) - flags.begin();
      REQUIRE(coverage.first_gap() == static_cast<std::uint64_t>(gap));
    }
  }
}
