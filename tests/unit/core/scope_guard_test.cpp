// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/scope_guard.hpp>

#include <Kokkos_Core.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cfenv>

namespace {

// Subnormals survive on this thread; volatile, so that the processor computes.
bool keeps_subnormals() {
  double volatile small = 0x1p-1030;
  double volatile half = 0.5;
  return small * half != 0;
}

bool rounds_to_nearest() {
  double volatile one = 1;
  double volatile tiny = 0x1p-60;
  return one + tiny == 1 && -one - tiny == -1 && one - tiny == 1;
}

int threads_that_flush() {
  int flush = 0;
  Kokkos::parallel_reduce(
      "look", Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace>(0, 1000),
      [](int, int& count) { count += keeps_subnormals() && rounds_to_nearest() ? 0 : 1; }, flush);
  return flush;
}

void disturb() {
  std::fesetround(FE_UPWARD);
#if defined(__SSE2__)
  _mm_setcsr(_mm_getcsr() | 0x8040U);
#endif
}

void restore() {
  std::fesetround(FE_TONEAREST);
#if defined(__SSE2__)
  _mm_setcsr(_mm_getcsr() & ~0x8040U);
#endif
}

}  // namespace

TEST_CASE("a floating environment is IEEE inside and restored after", "[scope_guard]") {
  CHECK(dashi::floating_environment_is_ieee());
  disturb();
  bool const seen = dashi::floating_environment_is_ieee();
  bool inside = false;
  bool found = true;
  {
    dashi::FloatingEnvironment const environment;
    inside = keeps_subnormals() && rounds_to_nearest() && std::fegetround() == FE_TONEAREST;
    found = environment.found_ieee();
  }
  bool const outside = !rounds_to_nearest();
#if defined(__SSE2__)
  bool const flushes = !keeps_subnormals();
#else
  bool const flushes = true;
#endif
  restore();
  CHECK_FALSE(seen);
  CHECK(inside);
  CHECK_FALSE(found);
  CHECK(outside);
  CHECK(flushes);
}

TEST_CASE("each mode alone is noticed", "[scope_guard]") {
  for (int const mode : {FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO}) {
    std::fesetround(mode);
    bool const seen = dashi::floating_environment_is_ieee();
    std::fesetround(FE_TONEAREST);
    CHECK_FALSE(seen);
  }
#if defined(__SSE2__)
  for (unsigned const bit : {0x8000U, 0x40U}) {
    _mm_setcsr(_mm_getcsr() | bit);
    bool const seen = dashi::floating_environment_is_ieee();
    _mm_setcsr(_mm_getcsr() & ~bit);
    CHECK_FALSE(seen);
  }
#endif
  CHECK(dashi::floating_environment_is_ieee());
}

TEST_CASE("a guard leaves a running Kokkos running and may be nested", "[scope_guard]") {
  REQUIRE(Kokkos::is_initialized());
  {
    dashi::ScopeGuard const outer;
    CHECK_FALSE(outer.initialised_kokkos());
    CHECK(outer.found_ieee());
    {
      dashi::ScopeGuard const inner;
      CHECK_FALSE(inner.initialised_kokkos());
    }
    CHECK(Kokkos::is_initialized());
  }
  CHECK(Kokkos::is_initialized());
}

TEST_CASE("a guard mends every thread of the pool and puts back what it found", "[scope_guard]") {
  using Host = Kokkos::DefaultHostExecutionSpace;
  auto const threads = static_cast<std::size_t>(Host().concurrency());
  auto const each_thread = [&](void (*act)()) {
    Kokkos::parallel_for("act",
                         Kokkos::RangePolicy<Host, Kokkos::Schedule<Kokkos::Static>>(0, threads),
                         [=](std::size_t) { act(); });
    Host().fence();
  };
  each_thread(disturb);
  int const before = threads_that_flush();
  int inside = -1;
  bool found = true;
  {
    dashi::ScopeGuard const guard;
    inside = threads_that_flush();
    found = guard.found_ieee();
  }
  int const after = threads_that_flush();
  each_thread(restore);
  restore();
  CHECK(before == 1000);
  CHECK(inside == 0);
  CHECK_FALSE(found);
  CHECK(after == 1000);
  CHECK(threads_that_flush() == 0);
}
