// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/scale_rows.hpp>

#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "adapters_fixture.hpp"

namespace scale_rows_test {

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultExecutionSpace;

template <class T>
void check_scale_rows(Index rows, Index cols, Index gap) {
  Context<Exec> ctx;
  auto const w = test::random_matrix<T>(rows, cols, 1);
  auto const scale = test::random_matrix<T>(1, rows, 2);
  test::SpaceMatrix<T, Exec> const matrix(w, gap);
  test::SpaceMatrix<T, Exec> const factors(scale);
  VectorOf<T const, Exec> const vector(factors.view().data(), static_cast<std::size_t>(rows));
  kernels::scale_rows<T>(ctx, vector, matrix.view());
  ctx.fence();
  auto const result = matrix.get();
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < cols; ++j) {
      // One product of two numbers of T, rounded once.
      REQUIRE(result(i, j) == convert<double>(convert<T>(scale(0, i) * w(i, j))));
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("rows are multiplied by their scale", "[scale_rows]",
                   DASHI_TEST_SCALARS(float, double, BFloat16, Float16)) {
  for (Index const cols : {1, 7, 64, 301}) {
    check_scale_rows<TestType>(1, cols, 0);
    check_scale_rows<TestType>(33, cols, 3);
  }
  check_scale_rows<TestType>(0, 4, 0);
  check_scale_rows<TestType>(4, 0, 0);
}

TEST_CASE("scale_rows refuses a scale of another length", "[scale_rows]") {
  Context<Exec> ctx;
  test::SpaceMatrix<float, Exec> const w(3, 4);
  Kokkos::View<float*, Exec::memory_space> const scale("scale", 4);
  CHECK_THROWS_WITH(kernels::scale_rows<float>(ctx, scale, w.view()),
                    Catch::Matchers::ContainsSubstring("scale has 4 elements, expected 3"));
}

}  // namespace scale_rows_test
