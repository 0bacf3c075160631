// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "linalg_fixture.hpp"

#include <dashi/linalg/describe.hpp>
#include <dashi/linalg/norms.hpp>
#include <dashi/linalg/randomised_svd.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace norms_test {

using namespace dashi;
using namespace dashi::test;

namespace {

template <class Where, class T>
void check_norms() {
  Context<typename Where::Exec, typename Where::Provider> ctx;
  for (Index rows : {0, 1, 3, 257}) {
    for (Index cols : {0, 1, 17, 300}) {
      Dense<T> a(rows, cols, 5);
      a.randomise(3);
      double square = 0;
      double largest = 0;
      for (Index i = 0; i < rows; ++i) {
        for (Index j = 0; j < cols; ++j) {
          square += a.at(i, j) * a.at(i, j);
          largest = std::max(largest, std::abs(a.at(i, j)));
        }
      }
      CHECK(linalg::max_norm(ctx, a.view()) == largest);
      double const norm = linalg::frobenius_norm(ctx, a.view());
      CHECK(std::abs(norm - std::sqrt(square)) <=
            static_cast<double>(rows * cols) * roundoff<double> * norm);
      if (rows * cols > 0) {
        a(rows - 1, cols - 1) = convert<T>(std::numeric_limits<double>::quiet_NaN());
        CHECK(std::isnan(linalg::max_norm(ctx, a.view())));
        CHECK(std::isnan(linalg::frobenius_norm(ctx, a.view())));
      }
    }
  }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("norms agree with sums in double", "[linalg]", Places) {
  check_norms<TestType, double>();
  check_norms<TestType, float>();
  check_norms<TestType, BFloat16>();
  check_norms<TestType, Float16>();
}

TEMPLATE_LIST_TEST_CASE("frobenius_norm neither overflows nor underflows", "[linalg]", Places) {
  Context<typename TestType::Exec, typename TestType::Provider> ctx;
  for (double scale : {1e300, 1e-300, 1e-320}) {
    Dense<double> a(30, 7);
    a.fill(scale);
    double const expected = a.at(0, 0) * std::sqrt(210.0);
    CHECK(std::abs(linalg::frobenius_norm(ctx, a.view()) / expected - 1) < 1e-3);
  }
  Dense<double> a(3, 3);
  a.fill(0);
  CHECK(linalg::frobenius_norm(ctx, a.view()) == 0);
  a(1, 1) = -std::numeric_limits<double>::infinity();
  CHECK(linalg::frobenius_norm(ctx, a.view()) == std::numeric_limits<double>::infinity());
}

#if defined(KOKKOS_ENABLE_OPENMP)
TEST_CASE("norms have the same bits for any number of threads", "[linalg]") {
  Dense<float> a(701, 977, 3);
  a.randomise(9);
  Context<Kokkos::Serial, provider::Portable> serial;
  double const expected = linalg::frobenius_norm(serial, a.view());
  for (int threads : {1, 2, 4}) {
    Context<Kokkos::OpenMP, provider::Portable> ctx{Kokkos::OpenMP(threads)};
    CHECK(linalg::frobenius_norm(ctx, a.view()) == expected);
  }
}
#endif

namespace {

/// Spectral norm of A - U diag(s) Vt by power iteration.
double spectral_error(Dense<double> const& a, Dense<double> const& u, std::vector<double> const& s,
                      Dense<double> const& vt) {
  Dense<double> rest = a;
  for (Index i = 0; i < a.rows; ++i) {
    for (Index j = 0; j < a.cols; ++j) {
      for (Index e = 0; e < u.cols; ++e) {
        rest(i, j) -= u(i, e) * s[static_cast<std::size_t>(e)] * vt(e, j);
      }
    }
  }
  std::vector<double> x(static_cast<std::size_t>(a.cols), 1.0);
  double norm = 0;
  for (int step = 0; step < 100; ++step) {
    std::vector<double> y(static_cast<std::size_t>(a.rows), 0.0);
    std::vector<double> z(x.size(), 0.0);
    for (Index i = 0; i < a.rows; ++i) {
      auto& yi = y[static_cast<std::size_t>(i)];
      for (Index j = 0; j < a.cols; ++j) {
        yi += rest(i, j) * x[static_cast<std::size_t>(j)];
      }
      for (Index j = 0; j < a.cols; ++j) {
        z[static_cast<std::size_t>(j)] += rest(i, j) * yi;
      }
    }
    double sum = 0;
    for (double const v : z) {
      sum = std::hypot(sum, v);
    }
    norm = std::sqrt(sum);
    for (std::size_t j = 0; j < x.size(); ++j) {
      x[j] = sum > 0 ? z[j] / sum : 0;
    }
  }
  return norm;
}

template <class Where>
void check_randomised(Index m, Index n, Index rank) {
  Context<typename Where::Exec, typename Where::Provider> ctx;
  // Singular values near 2^-i: a sum of products of random vectors.
  Dense<double> a(m, n, 1);
  a.fill(0);
  Index const k = std::min<Index>({m, n, 40});
  for (Index e = 0; e < k; ++e) {
    Dense<double> x(1, m);
    Dense<double> y(1, n);
    x.randomise(static_cast<std::uint64_t>(2 * e + 100));
    y.randomise(static_cast<std::uint64_t>(2 * e + 101));
    double const scale =
        std::ldexp(1.0, static_cast<int>(-e)) / std::sqrt(static_cast<double>(m * n));
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < n; ++j) {
        a(i, j) += scale * x(0, i) * y(0, j);
      }
    }
  }
  Dense<double> u(m, rank, 2);
  Dense<double> vt(rank, n, 1);
  std::vector<double> s(static_cast<std::size_t>(rank));
  auto const s_view = vector_over<double, Kokkos::Serial>(s.data(), rank);
  double const estimate =
      linalg::randomised_svd(ctx, a.view(), rank, {.seed = 5}, u.view(), s_view, vt.view());
  Dense<double> full_u(m, std::min(m, n));
  Dense<double> full_vt(std::min(m, n), n);
  std::vector<double> full(static_cast<std::size_t>(std::min(m, n)));
  linalg::svd(ctx, a.view(), full_u.view(),
              vector_over<double, Kokkos::Serial>(full.data(), std::min(m, n)), full_vt.view());
  INFO(m << " x " << n << " rank " << rank << " estimate " << estimate);
  double const error = spectral_error(a, u, s, vt);
  double const best = rank < std::min(m, n) ? full[static_cast<std::size_t>(rank)] : 0;
  double const roundings = 1e-13 * full[0];
  CHECK(error <= estimate + roundings);
  CHECK(error <= 1.1 * best + roundings);
  CHECK(estimate <= 30 * best + 100 * roundings);
  for (std::size_t i = 0; i < s.size(); ++i) {
    CHECK(std::abs(s[i] - full[i]) <= 0.1 * full[i] + roundings);
  }
  CHECK(u.gaps_untouched());
  CHECK(vt.gaps_untouched());
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("randomised_svd comes near the best approximation and says how near",
                        "[linalg]", Places) {
  check_randomised<TestType>(60, 45, 8);
  check_randomised<TestType>(45, 60, 8);
  check_randomised<TestType>(12, 9, 9);
  check_randomised<TestType>(5, 80, 3);
  check_randomised<TestType>(1, 1, 1);
  check_randomised<TestType>(70, 3, 1);
}

TEMPLATE_LIST_TEST_CASE("randomised_svd names what does not match", "[linalg]", Places) {
  Context<typename TestType::Exec, typename TestType::Provider> ctx;
  Dense<double> a(6, 5);
  a.randomise(1);
  Dense<double> u(6, 2);
  Dense<double> vt(2, 5);
  std::vector<double> s(2);
  auto const view = vector_over<double, Kokkos::Serial>(s.data(), 2);
  for (Index rank : {0, 1, 3, 6}) {
    CHECK_THROWS_AS(linalg::randomised_svd(ctx, a.view(), rank, {}, u.view(), view, vt.view()),
                    PreconditionError);
  }
  a(3, 3) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(linalg::randomised_svd(ctx, a.view(), 2, {}, u.view(), view, vt.view()),
                  ConvergenceError);
}

TEMPLATE_LIST_TEST_CASE("describe says what computes", "[linalg]", Places) {
  Context<typename TestType::Exec, typename TestType::Provider> ctx;
  std::string const text = linalg::describe(ctx);
  INFO(text);
  CHECK_FALSE(text.empty());
  CHECK(text.find('\n') == std::string::npos);
}

}  // namespace norms_test
