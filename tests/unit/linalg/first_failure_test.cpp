// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/enabled_backends.hpp>

#if defined(DASHI_HOST_ENABLED)
#include <backends/host/first_failure.hpp>

#include <Kokkos_Core.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>

#include <stdexcept>
#include <string>

TEST_CASE("a parallel loop's exception is that of the smallest index", "[linalg]") {
  dashi::backends::host::FirstFailure failure;
  auto const fail_from = [&](dashi::Index first) {
    Kokkos::parallel_for(Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace>(0, 100),
                         [&](int at) {
                           dashi::Index const i = 99 - at;
                           failure.guard(i, [&] {
                             if (i >= first) {
                               throw std::runtime_error(std::to_string(i));
                             }
                           });
                         });
    Kokkos::fence();
  };
  fail_from(100);
  CHECK_NOTHROW(failure.rethrow());
  fail_from(42);
  CHECK_THROWS_MATCHES(failure.rethrow(), std::runtime_error, Catch::Matchers::Message("42"));
}
#endif
