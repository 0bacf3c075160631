// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/for_each_on_threads.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <atomic>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

using namespace dashi::io;

TEST_CASE("every index is visited once") {
  std::size_t const threads = GENERATE(0U, 1U, 4U);
  std::vector<std::atomic<int>> visits(1000);
  for_each_on_threads(visits.size(), threads, [&](std::size_t i) { ++visits[i]; });
  for (std::atomic<int> const& count : visits) {
    CHECK(count == 1);
  }
  for_each_on_threads(0, threads, [](std::size_t) { throw std::runtime_error("called"); });
}

TEST_CASE("the exception of the lowest index is thrown") {
  std::size_t const threads = GENERATE(1U, 4U);
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::string what;
    try {
      for_each_on_threads(100, threads, [](std::size_t i) {
        if (i % 7 == 5) {
          throw std::runtime_error(std::to_string(i));
        }
      });
    } catch (std::runtime_error const& error) {
      what = error.what();
    }
    CHECK(what == "5");
  }
}
