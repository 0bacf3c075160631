// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/arena.hpp>

#include <Kokkos_Core.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using dashi::Arena;
using dashi::Frame;
using dashi::Index;
using Host = Kokkos::DefaultHostExecutionSpace;

namespace {

struct Memory {
  alignas(Arena::alignment) std::byte bytes[1024];
};

std::uintptr_t address(void const* p) { return reinterpret_cast<std::uintptr_t>(p); }

}  // namespace

TEST_CASE("a measuring arena says what a real one needs", "[arena]") {
  auto const set_up = [](Arena& arena) {
    auto const a = arena.vector<float, Host>(5);
    std::size_t inside = 0;
    {
      Frame const frame(arena);
      auto const b = arena.matrix<double, Host>(4, 10);
      inside = b.extent(0) * b.extent(1);
    }
    auto const c = arena.vector<std::byte, Host>(1);
    return a.extent(0) + inside + c.extent(0);
  };
  Arena measuring;
  CHECK(measuring.measuring());
  CHECK(set_up(measuring) == 46);
  CHECK(measuring.peak() == 128 + 384);
  CHECK(measuring.used() == 256);

  Memory memory{};
  Arena exact(memory.bytes, measuring.peak());
  CHECK(set_up(exact) == 46);
  CHECK(exact.peak() == measuring.peak());
  Arena too_small(memory.bytes, measuring.peak() - 1);
  CHECK_THROWS_AS(set_up(too_small), dashi::PreconditionError);
}

TEST_CASE("arena views are aligned, apart and within", "[arena]") {
  Memory memory{};
  Arena arena(memory.bytes, sizeof(memory.bytes));
  auto const a = arena.vector<char, Host>(1);
  auto const b = arena.matrix<float, Host>(3, 11);
  auto const c = arena.vector<double, Host>(0);
  CHECK(address(a.data()) == address(memory.bytes));
  CHECK(address(b.data()) == address(memory.bytes) + 128);
  CHECK(b.extent(0) == 3);
  CHECK(b.extent(1) == 11);
  CHECK(b.stride(0) == 11);
  CHECK(c.extent(0) == 0);
  CHECK(arena.used() == 128 + 256);
}

TEST_CASE("a full arena names needed and available bytes", "[arena]") {
  Memory memory{};
  Arena arena(memory.bytes, 256);
  (void)arena.vector<float, Host>(32);
  CHECK_THROWS_MATCHES(
      (arena.vector<float, Host>(33)), dashi::PreconditionError,
      MessageMatches(ContainsSubstring("384 bytes needed") && ContainsSubstring("256 there")));
  CHECK(arena.used() == 128);  // a refused request takes nothing
  CHECK_NOTHROW((arena.vector<float, Host>(32)));
}

TEST_CASE("frames give back in turn and keep the peak", "[arena]") {
  Arena arena;
  {
    Frame const outer(arena);
    (void)arena.vector<float, Host>(1);
    {
      Frame const inner(arena);
      (void)arena.vector<float, Host>(100);
      CHECK(arena.used() == 128 + 512);
    }
    CHECK(arena.used() == 128);
  }
  CHECK(arena.used() == 0);
  CHECK(arena.peak() == 640);
}

TEST_CASE("arenas refuse impossible sizes and bases", "[arena]") {
  Arena arena;
  Index const huge = std::numeric_limits<Index>::max();
  CHECK_THROWS_AS((arena.vector<double, Host>(huge)), dashi::PreconditionError);
  CHECK_THROWS_AS((arena.matrix<float, Host>(Index{1} << 33, Index{1} << 33)),
                  dashi::PreconditionError);
  CHECK_THROWS_AS((arena.vector<float, Host>(-1)), dashi::PreconditionError);
  CHECK_THROWS_AS(Arena(nullptr, 1), dashi::PreconditionError);
  Memory memory{};
  CHECK_THROWS_AS(Arena(memory.bytes + 64, 64), dashi::PreconditionError);
}
