// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/add_rows.hpp>

#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "grid.hpp"

namespace add_rows_test {

namespace {

using dashi::Index;
using dashi::test::Grid;
using dashi::test::roundoff;

template <class T, class Exec>
void check_add_rows(Index period, Index times, Index cols, Index gap) {
  INFO(period << " x " << times << " rows of " << cols << ", gap " << gap);
  dashi::Context<Exec> ctx;
  auto const x = Grid<T, Exec>::random(period, cols, 1, 1, gap);
  auto y = Grid<T, Exec>::random(period * times, cols, 2, 1, gap + 3);
  std::vector<double> const old = y.values();
  dashi::kernels::add_rows(ctx, x.view(), y.view());
  ctx.fence();
  y.download();
  for (Index r = 0; r < period * times; ++r) {
    for (Index c = 0; c < cols; ++c) {
      double const sum = old[static_cast<std::size_t>(r * cols + c)] + x(r % period, c);
      // The sum is rounded to the accumulator, then once to T.
      REQUIRE(std::abs(y(r, c) - sum) <= 1.01 * roundoff<T>() * std::abs(sum));
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("rows are added period by period", "[add_rows]",
                   DASHI_TEST_SCALARS(float, double, dashi::BFloat16, dashi::Float16)) {
  using Exec = Kokkos::DefaultExecutionSpace;
  dashi::test::for_each_instruction_set([] {
    for (Index const cols : {1, 7, 8, 33, 70, 300}) {
      check_add_rows<TestType, Exec>(1, 5, cols, 0);
      check_add_rows<TestType, Exec>(3, 4, cols, 0);
      check_add_rows<TestType, Exec>(5, 1, cols, 2);
    }
    check_add_rows<TestType, Exec>(3, 0, 4, 0);
    check_add_rows<TestType, Exec>(2, 3, 0, 1);
  });
}

TEST_CASE("add_rows refuses extents that do not fit", "[add_rows]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  using Catch::Matchers::ContainsSubstring;
  dashi::Context<Exec> ctx;
  Grid<float, Exec> const x(3, 4);
  CHECK_THROWS_WITH(dashi::kernels::add_rows(ctx, x.view(), Grid<float, Exec>(6, 5).view()),
                    ContainsSubstring("x is 3 x 4, y 6 x 5"));
  CHECK_THROWS_WITH(dashi::kernels::add_rows(ctx, x.view(), Grid<float, Exec>(7, 4).view()),
                    ContainsSubstring("rows that divide those of y"));
  CHECK_THROWS_WITH(dashi::kernels::add_rows(ctx, Grid<float, Exec>(0, 4).view(), x.view()),
                    ContainsSubstring("x is 0 x 4"));
}

}  // namespace add_rows_test
