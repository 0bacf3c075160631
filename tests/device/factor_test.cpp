// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/error.hpp>
#include <dashi/core/philox.hpp>
#include <dashi/linalg/norms.hpp>
#include <dashi/linalg/qr.hpp>
#include <dashi/linalg/randomised_svd.hpp>
#include <dashi/linalg/svd.hpp>

#include <support/device_copy.hpp>
#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace factor_test {

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultExecutionSpace;

template <class T>
struct HostMatrix {
  Index rows, cols;
  std::vector<T> values;

  T at(Index i, Index j) const { return values[static_cast<std::size_t>(i * cols + j)]; }
};

template <class T>
HostMatrix<T> random_matrix(Index rows, Index cols) {
  HostMatrix<T> a{rows, cols, std::vector<T>(static_cast<std::size_t>(rows * cols))};
  Philox const random(7, {});
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    a.values[i] = random.template normal<T>(i);
  }
  return a;
}

template <class T>
using DeviceMatrix = Kokkos::View<T**, Kokkos::LayoutRight, typename Exec::memory_space>;

template <class T>
DeviceMatrix<T> to_device(HostMatrix<T> const& a) {
  DeviceMatrix<T> const device("a", static_cast<std::size_t>(a.rows),
                               static_cast<std::size_t>(a.cols));
  auto const host = Kokkos::create_mirror_view(device);
  std::copy(a.values.begin(), a.values.end(), host.data());
  Kokkos::deep_copy(device, host);
  return device;
}

template <class T>
HostMatrix<T> to_host(DeviceMatrix<T> const& a) {
  auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), a);
  return {static_cast<Index>(a.extent(0)), static_cast<Index>(a.extent(1)),
          std::vector<T>(host.data(), host.data() + host.size())};
}

/// The largest difference between I and the products of columns (rows) with each other.
template <class T>
double defect(HostMatrix<T> const& x, bool columns) {
  Index const count = columns ? x.cols : x.rows;
  Index const length = columns ? x.rows : x.cols;
  double worst = 0;
  for (Index i = 0; i < count; ++i) {
    for (Index j = 0; j <= i; ++j) {
      double sum = i == j ? -1 : 0;
      for (Index e = 0; e < length; ++e) {
        sum += static_cast<double>(columns ? x.at(e, i) : x.at(i, e)) *
               static_cast<double>(columns ? x.at(e, j) : x.at(j, e));
      }
      worst = std::isnan(sum) ? HUGE_VAL : std::max(worst, std::abs(sum));
    }
  }
  return worst;
}

/// The largest element of left diag(s) right - a.
template <class T>
double residual(HostMatrix<T> const& a, HostMatrix<T> const& left, std::vector<T> const& s,
                HostMatrix<T> const& right) {
  double worst = 0;
  for (Index i = 0; i < a.rows; ++i) {
    for (Index j = 0; j < a.cols; ++j) {
      double sum = -static_cast<double>(a.at(i, j));
      for (Index e = 0; e < left.cols; ++e) {
        double const factor = s.empty() ? 1.0 : static_cast<double>(s[static_cast<std::size_t>(e)]);
        sum += static_cast<double>(left.at(i, e)) * factor * static_cast<double>(right.at(e, j));
      }
      worst = std::isnan(sum) ? HUGE_VAL : std::max(worst, std::abs(sum));
    }
  }
  return worst;
}

/// Backward stable algorithms are off by a modest multiple of the larger extent in roundoffs.
template <class T>
double allowance(Index m, Index n) {
  return 20 * static_cast<double>(std::max(m, n) + 8) * dashi::detail::unit_roundoff<T>();
}

template <class Provider, class T>
void check_factors(Index m, Index n) {
  INFO(m << " x " << n);
  auto const a = random_matrix<T>(m, n);
  auto const rows = static_cast<std::size_t>(m);
  auto const cols = static_cast<std::size_t>(n);
  auto const k = std::min(rows, cols);
  Context<Exec, Provider> ctx;
  auto const on_a = to_device(a);
  DeviceMatrix<T> const u("u", rows, k);
  DeviceMatrix<T> const vt("vt", k, cols);
  Kokkos::View<T*, typename Exec::memory_space> const s("s", k);
  Kokkos::View<T*, typename Exec::memory_space> const values("values", k);
  double const norm = linalg::frobenius_norm(ctx, on_a);
  double const allowed = allowance<T>(m, n);

  linalg::svd(ctx, on_a, u, s, vt);
  auto const host_s = test::host_copy(s);
  CHECK(defect(to_host<T>(u), true) <= allowed);
  CHECK(defect(to_host<T>(vt), false) <= allowed);
  CHECK(residual(a, to_host<T>(u), host_s, to_host<T>(vt)) <= allowed * norm);
  CHECK(std::is_sorted(host_s.rbegin(), host_s.rend()));
  CHECK(test::different_bits(to_host<T>(on_a).values, a.values) == 0);

  linalg::singular_values(ctx, on_a, values);
  auto const alone = test::host_copy(values);
  for (std::size_t i = 0; i < k; ++i) {
    CHECK(std::abs(static_cast<double>(alone[i] - host_s[i])) <= allowed * norm);
  }

  linalg::qr(ctx, on_a, u, vt);
  auto const r = to_host<T>(vt);
  CHECK(defect(to_host<T>(u), true) <= allowed);
  CHECK(residual(a, to_host<T>(u), {}, r) <= allowed * norm);
  bool upper = true;
  for (Index i = 0; i < r.rows; ++i) {
    for (Index j = 0; j < i; ++j) {
      upper = upper && r.at(i, j) == T{};
    }
  }
  CHECK(upper);
}

template <class Provider, class T>
void check_all_factors() {
  for (auto const& [m, n] :
       {std::pair<Index, Index>{1, 1}, {7, 3}, {3, 7}, {65, 65}, {100, 40}, {40, 100}}) {
    check_factors<Provider, T>(m, n);
  }
  Context<Exec, Provider> ctx;
  auto bad = random_matrix<T>(9, 5);
  bad.values[17] = std::numeric_limits<T>::quiet_NaN();
  auto const on_bad = to_device(bad);
  Kokkos::View<T*, typename Exec::memory_space> const s("s", 5);
  CHECK_THROWS_AS(linalg::singular_values(ctx, on_bad, s), ConvergenceError);
}

/// As many of one shape as are worked on together, and one of another.
template <class Provider, class T>
void check_batch() {
  Context<Exec, Provider> ctx;
  std::vector<HostMatrix<T>> matrices;
  std::vector<DeviceMatrix<T>> a, u, vt;
  std::vector<Kokkos::View<T*, typename Exec::memory_space>> s;
  std::vector<linalg::SvdProblem<T, Exec>> problems;
  for (auto const& [m, n] : {std::pair<Index, Index>{40, 30},
                             {30, 40},
                             {9, 9},
                             {40, 30},
                             {40, 30},
                             {30, 40},
                             {40, 30}}) {
    matrices.push_back(random_matrix<T>(m, n));
    for (T& value : matrices.back().values) {
      value += static_cast<T>(matrices.size());
    }
    auto const k = static_cast<std::size_t>(std::min(m, n));
    a.push_back(to_device(matrices.back()));
    u.emplace_back("u", static_cast<std::size_t>(m), k);
    vt.emplace_back("vt", k, static_cast<std::size_t>(n));
    s.emplace_back("s", k);
    problems.push_back({a.back(), u.back(), s.back(), vt.back()});
  }
  linalg::svd_batch(ctx, std::span<linalg::SvdProblem<T, Exec> const>(problems));
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    INFO("matrix " << i);
    auto const m = matrices[i].rows;
    auto const n = matrices[i].cols;
    auto const values = test::host_copy(s[i]);
    double const allowed = allowance<T>(m, n);
    CHECK(defect(to_host<T>(u[i]), true) <= allowed);
    CHECK(defect(to_host<T>(vt[i]), false) <= allowed);
    CHECK(residual(matrices[i], to_host<T>(u[i]), values, to_host<T>(vt[i])) <=
          allowed * linalg::frobenius_norm(ctx, a[i]));
    CHECK(std::is_sorted(values.rbegin(), values.rend()));
  }
}

template <class T>
void check_leading_values() {
  Context<Exec> ctx;
  auto const a = to_device(random_matrix<T>(80, 50));
  DeviceMatrix<T> const u("u", 80, 8);
  DeviceMatrix<T> const vt("vt", 8, 50);
  Kokkos::View<T*, typename Exec::memory_space> const s("s", 8);
  Kokkos::View<T*, typename Exec::memory_space> const all("all", 50);
  double const error = linalg::randomised_svd(ctx, a, 8, {.oversampling = 20}, u, s, vt);
  linalg::singular_values(ctx, a, all);
  auto const leading = test::host_copy(s);
  auto const exact = test::host_copy(all);
  for (std::size_t i = 0; i < 8; ++i) {
    CHECK(std::abs(static_cast<double>(leading[i] - exact[i])) <= error);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("the device's factorisations multiply to the matrix", "[device][linalg]",
                   DASHI_TEST_SCALARS(float, double)) {
  check_all_factors<DefaultProviderOf<Exec>, TestType>();
}

TEMPLATE_TEST_CASE("portable factorisations on the device multiply to the matrix",
                   "[device][linalg]", DASHI_TEST_SCALARS(float, double)) {
  check_all_factors<provider::Portable, TestType>();
}

TEMPLATE_TEST_CASE("many decompositions on the device multiply to their matrices",
                   "[device][linalg]", DASHI_TEST_SCALARS(float, double)) {
  check_batch<DefaultProviderOf<Exec>, TestType>();
  check_batch<provider::Portable, TestType>();
}

TEMPLATE_TEST_CASE("randomised decompositions find the leading singular values", "[device][linalg]",
                   DASHI_TEST_SCALARS(float, double)) {
  check_leading_values<TestType>();
}

}  // namespace factor_test
