// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/context.hpp>

#include <Kokkos_Core.hpp>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <type_traits>
#include <utility>

using dashi::Context;

namespace {

// A context without arguments runs on the default space.
static_assert(std::is_same_v<decltype(Context())::execution_space, Kokkos::DefaultExecutionSpace>);
static_assert(!std::is_copy_constructible_v<Context<Kokkos::Serial>>);
static_assert(std::is_nothrow_move_constructible_v<Context<Kokkos::Serial>> ||
              std::is_move_constructible_v<Context<Kokkos::Serial>>);

struct MyProvider {};
static_assert(std::is_same_v<Context<Kokkos::Serial, MyProvider>::provider, MyProvider>);

template <class Exec>
void fill_scratch() {
  Context<Exec> ctx;
  ctx.reserve_scratch(4096);
  dashi::Frame const frame(ctx.scratch());
  auto const values = ctx.scratch().template vector<int, Exec>(1000);
  Kokkos::parallel_for(
      "fill", Kokkos::RangePolicy<Exec>(ctx.exec(), 0, values.size()),
      KOKKOS_LAMBDA(std::size_t i) { values(i) = static_cast<int>(i); });
  ctx.fence("dashi::test");
  auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), values);
  int wrong = 0;
  for (std::size_t i = 0; i < host.size(); ++i) {
    wrong += host(i) != static_cast<int>(i);
  }
  CHECK(wrong == 0);
}

}  // namespace

TEMPLATE_TEST_CASE("kernels write scratch memory", "[context]", Kokkos::DefaultExecutionSpace,
                   Kokkos::Serial) {
  fill_scratch<TestType>();
}

TEST_CASE("scratch grows only when it must and only when unused", "[context]") {
  Context<Kokkos::Serial> ctx;
  CHECK_FALSE(ctx.scratch().measuring());
  CHECK_THROWS_AS((ctx.scratch().vector<float, Kokkos::Serial>(1)), dashi::PreconditionError);
  ctx.reserve_scratch(1000);
  CHECK(ctx.scratch().capacity() == 1000);
  ctx.reserve_scratch(10);
  CHECK(ctx.scratch().capacity() == 1000);
  {
    dashi::Frame const frame(ctx.scratch());
    auto const view = ctx.scratch().vector<float, Kokkos::Serial>(1);
    CHECK(reinterpret_cast<std::uintptr_t>(view.data()) % dashi::Arena::alignment == 0);
    CHECK_THROWS_AS(ctx.reserve_scratch(2000), dashi::PreconditionError);
    CHECK_NOTHROW(ctx.reserve_scratch(1000));
  }
  ctx.reserve_scratch(2000);
  CHECK(ctx.scratch().capacity() == 2000);
}

TEST_CASE("a moved context keeps its scratch", "[context]") {
  Context<Kokkos::Serial> first;
  first.reserve_scratch(512);
  Context<Kokkos::Serial> second = std::move(first);
  CHECK(second.scratch().capacity() == 512);
  CHECK_NOTHROW((second.scratch().vector<float, Kokkos::Serial>(128)));
}
