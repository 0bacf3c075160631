// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/weight_decomposition.hpp>

#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "adapters_fixture.hpp"

namespace weight_decomposition_test {

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultExecutionSpace;

template <class T>
VectorOf<T, Exec> vector_of(test::SpaceMatrix<T, Exec> const& row, Index size) {
  return {row.view().data(), static_cast<std::size_t>(size)};
}

template <class T>
void check_norms(Index rows, Index cols, Index gap) {
  using Acc = kernels::AccumulatorOf<T>;
  Context<Exec> ctx;
  auto const w = test::random_matrix<T>(rows, cols, 1);
  test::SpaceMatrix<T, Exec> const matrix(w, gap);
  test::SpaceMatrix<Acc, Exec> const of_rows(1, rows), of_columns(1, cols);
  kernels::row_norms<T>(ctx, matrix.view(), vector_of(of_rows, rows));
  kernels::column_norms<T>(ctx, matrix.view(), vector_of(of_columns, cols));
  ctx.fence();
  std::vector<double> row_sums(static_cast<std::size_t>(rows)),
      column_sums(static_cast<std::size_t>(cols));
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < cols; ++j) {
      row_sums[static_cast<std::size_t>(i)] += w(i, j) * w(i, j);
      column_sums[static_cast<std::size_t>(j)] += w(i, j) * w(i, j);
    }
  }
  auto const check = [](test::HostMatrix const& norms, std::vector<double> const& sums) {
    for (std::size_t k = 0; k < sums.size(); ++k) {
      double const norm = std::sqrt(sums[k]);
      REQUIRE(std::fabs(norms(0, static_cast<Index>(k)) - norm) <=
              norm * 2 * std::numeric_limits<Acc>::epsilon());
    }
  };
  check(of_rows.get(), row_sums);
  check(of_columns.get(), column_sums);
}

}  // namespace

TEMPLATE_TEST_CASE("norms of rows and columns", "[weight_decomposition]",
                   DASHI_TEST_SCALARS(float, double, BFloat16, Float16)) {
  for (Index const cols : {1, 7, 64, 301, 4608}) {
    check_norms<TestType>(1, cols, 0);
    check_norms<TestType>(33, cols, 3);
  }
  check_norms<TestType>(0, 4, 0);
  check_norms<TestType>(4, 0, 0);
}

TEMPLATE_TEST_CASE("scales of rows, what they leave of the bias, and the gradient of magnitudes",
                   "[weight_decomposition]", DASHI_TEST_SCALARS(float, double, BFloat16)) {
  using T = TestType;
  using Acc = kernels::AccumulatorOf<T>;
  constexpr Index rows = 37;
  Context<Exec> ctx;
  auto norms = test::random_matrix<T>(2, rows, 3);
  for (double& norm : norms.values) {
    norm = convert<double>(convert<T>(std::fabs(norm) + 0.5));
  }
  norms(1, 5) = 0;  // a row of zeros
  auto const row = [](test::HostMatrix const& m, Index i) {
    test::HostMatrix out(1, m.cols);
    for (Index j = 0; j < m.cols; ++j) {
      out(0, j) = m(i, j);
    }
    return out;
  };
  auto const change = test::random_matrix<T>(1, rows, 4);
  auto const bias = test::random_matrix<T>(1, rows, 5);
  auto const sums = test::random_matrix<T>(2, rows, 6);
  test::SpaceMatrix<Acc, Exec> const base(row(norms, 0)), norm(row(norms, 1));
  test::SpaceMatrix<Acc, Exec> const products(row(sums, 0)), totals(row(sums, 1));
  test::SpaceMatrix<Acc, Exec> const gradient(row(sums, 0));
  test::SpaceMatrix<T, Exec> const d(change), b(bias);
  test::SpaceMatrix<T, Exec> const scale(1, rows), offset(1, rows);
  test::SpaceMatrix<T, Exec> const excess(1, rows);
  test::SpaceMatrix<Acc, Exec> const unbiased(row(sums, 0));
  kernels::WeightDecomposition<T, Exec> decomposition{vector_of(base, rows), vector_of(norm, rows),
                                                      vector_of(d, rows), vector_of(b, rows)};
  decomposition.scales(ctx, vector_of(scale, rows), vector_of(offset, rows),
                       vector_of(excess, rows));
  decomposition.add_gradient(ctx, vector_of(products, rows), vector_of(totals, rows),
                             vector_of(gradient, rows));
  decomposition.bias = {};
  decomposition.add_gradient(ctx, vector_of(products, rows), {}, vector_of(unbiased, rows));
  ctx.fence();
  auto const f = scale.get();
  auto const o = offset.get();
  auto const e = excess.get();
  auto const g = gradient.get();
  auto const u = unbiased.get();
  double const one = test::unit<T>();
  for (Index i = 0; i < rows; ++i) {
    bool const zero = norms(1, i) == 0;
    double const expected = zero ? 1 : (norms(0, i) + change(0, i)) / norms(1, i);
    REQUIRE(std::fabs(f(0, i) - expected) <= 2 * one * std::fabs(expected));
    REQUIRE(std::fabs(e(0, i) - (expected - 1)) <=
            2 * one * std::fabs(expected - 1) +
                4 * std::numeric_limits<Acc>::epsilon() * std::fabs(expected));
    double const left = (1 - f(0, i)) * bias(0, i);
    REQUIRE(std::fabs(o(0, i) - left) <= 2 * one * (std::fabs(left) + std::fabs(bias(0, i))));
    double const slope = zero ? 0 : (sums(0, i) - bias(0, i) * sums(1, i)) / norms(1, i);
    double const size = std::fabs(sums(0, i)) + std::fabs(bias(0, i) * sums(1, i));
    REQUIRE(std::fabs(g(0, i) - sums(0, i) - slope) <=
            8 * std::numeric_limits<Acc>::epsilon() * (size / (zero ? 1 : norms(1, i)) + size));
    REQUIRE(std::fabs(u(0, i) - sums(0, i) - (zero ? 0 : sums(0, i) / norms(1, i))) <=
            8 * std::numeric_limits<Acc>::epsilon() * (size / (zero ? 1 : norms(1, i)) + size));
  }
}

TEST_CASE("norms of another length are refused", "[weight_decomposition]") {
  Context<Exec> ctx;
  test::SpaceMatrix<float, Exec> const w(3, 4);
  Kokkos::View<float*, Exec::memory_space> const norms("norms", 4);
  CHECK_THROWS_WITH(kernels::row_norms<float>(ctx, w.view(), norms),
                    Catch::Matchers::ContainsSubstring("norms has 4 elements, expected 3"));
  Kokkos::View<float*, Exec::memory_space> const columns("norms", 3);
  CHECK_THROWS_WITH(kernels::column_norms<float>(ctx, w.view(), columns),
                    Catch::Matchers::ContainsSubstring("norms has 3 elements, expected 4"));
}

}  // namespace weight_decomposition_test
