// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/merging/chunk_pool.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <atomic>
#include <stdexcept>
#include <string>

using dashi::merging::run_chunks;

TEST_CASE("every chunk is run once, by a worker in range") {
  int const workers = GENERATE(1, 2, 7, 64);
  std::uint64_t const count = GENERATE(0U, 1U, 5U, 1000U);
  std::vector<std::atomic<int>> runs(count);
  std::atomic<bool> in_range = true;
  run_chunks(count, workers, [&](int worker, std::uint64_t chunk) {
    ++runs[chunk];
    in_range = in_range && worker >= 0 && worker < workers;
  });
  CHECK(in_range);
  for (auto const& run : runs) {
    REQUIRE(run == 1);
  }
}

TEST_CASE("a chunk may wait for the one before it") {
  int const workers = GENERATE(1, 3, 16);
  std::atomic<std::uint64_t> turn = 0;
  run_chunks(500, workers, [&](int, std::uint64_t chunk) {
    while (turn != chunk) {
      std::this_thread::yield();
    }
    ++turn;
  });
  CHECK(turn == 500);
}

TEST_CASE("the exception of the smallest failing chunk arrives, whatever the thread count") {
  int const workers = GENERATE(1, 2, 8);
  for (int repeat = 0; repeat < 50; ++repeat) {
    std::string message;
    std::atomic<std::uint64_t> started = 0;
    try {
      run_chunks(1'000'000, workers, [&](int, std::uint64_t chunk) {
        ++started;
        if (chunk >= 40) {
          throw std::runtime_error(std::to_string(chunk));
        }
      });
    } catch (std::runtime_error const& error) {
      message = error.what();
    }
    REQUIRE(message == "40");
    REQUIRE(started < 1'000'000);
  }
}

TEST_CASE("no worker is a mistake of the caller") {
  CHECK_THROWS_AS(run_chunks(1, 0, [](int, std::uint64_t) {}), dashi::PreconditionError);
}
