// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/activation.hpp>
#include <dashi/kernels/cast.hpp>

#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include <limits>

#include "grid.hpp"

namespace activation_test {

namespace {

using dashi::Index;
using dashi::kernels::GeluTanh;
using dashi::kernels::Silu;
using dashi::test::Grid;
using dashi::test::roundoff;

template <class F>
double reference(double x) {
  if constexpr (std::is_same_v<F, Silu>) {
    return x / (1 + std::exp(-x));
  } else {
    double const pi = std::acos(-1.0);
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / pi) * (x + 0.044715 * x * x * x)));
  }
}

template <class F>
double derivative(double x) {
  double const step = 1e-6;
  return (reference<F>(x + step) - reference<F>(x - step)) / (2 * step);
}

template <class F, class T, class Exec>
void check_activation(Index rows, Index cols, Index gap) {
  dashi::Context<Exec> ctx;
  auto const x = Grid<T, Exec>::random(rows, cols, 1, 2, gap);
  auto const bias = Grid<T, Exec>::random(1, cols, 2);
  auto const dy = Grid<T, Exec>::random(rows, cols, 3, 1, gap);
  Grid<T, Exec> y(rows, cols, gap);
  Grid<T, Exec> y_bias(rows, cols, gap);
  Grid<T, Exec> dx(rows, cols, gap);
  Grid<T, Exec> dx_bias(rows, cols, gap);
  dashi::kernels::activate<F>(ctx, x.view(), y.view());
  dashi::kernels::activate<F>(ctx, x.view(), bias.vector(), y_bias.view());
  dashi::kernels::activate_adjoint<F>(ctx, x.view(), dy.view(), dx.view());
  dashi::kernels::activate_adjoint<F>(ctx, x.view(), bias.vector(), dy.view(), dx_bias.view());
  ctx.fence();
  for (auto* grid : {&y, &y_bias, &dx, &dx_bias}) {
    grid->download();
  }
  using dashi::test::relative_error;
  double const bound = 8 * roundoff<T>();
  // u' x multiplies the rounding of the sigmoid; 1e-8 is the error of the difference quotient.
  double const difference = 32 * roundoff<T>() + 1e-8;
  CHECK(relative_error(
            y, [&](Index i, Index j) { return reference<F>(x(i, j)); }, rows, cols) < bound);
  CHECK(relative_error(
            y_bias, [&](Index i, Index j) { return reference<F>(x(i, j) + bias(0, j)); }, rows,
            cols) < bound);
  CHECK(relative_error(
            dx, [&](Index i, Index j) { return dy(i, j) * derivative<F>(x(i, j)); }, rows, cols) <
        difference);
  CHECK(relative_error(
            dx_bias,
            [&](Index i, Index j) { return dy(i, j) * derivative<F>(x(i, j) + bias(0, j)); }, rows,
            cols) < difference);
}

template <class F, class Exec>
void check_types(Index rows, Index cols, Index gap) {
#if !defined(DASHI_TEST_ONE_SCALAR)
  check_activation<F, double, Exec>(rows, cols, gap);
#endif
  check_activation<F, float, Exec>(rows, cols, gap);
#if !defined(DASHI_TEST_ONE_SCALAR)
  check_activation<F, dashi::BFloat16, Exec>(rows, cols, gap);
  check_activation<F, dashi::Float16, Exec>(rows, cols, gap);
#endif
}

/// Largest error in units in the last place of the result in Real over [low, high].
template <class Real, class Function, class Reference>
double units(double low, double high, Function function, Reference expected) {
  double worst = 0;
  constexpr int samples = 400'000;
  for (int i = 0; i <= samples; ++i) {
    Real const x = static_cast<Real>(low + (high - low) * i / samples);
    long double const e = expected(static_cast<long double>(x));
    double const unit = std::ldexp(
        1.0, std::ilogb(static_cast<double>(e)) - dashi::FloatFormat<Real>::fraction_bits);
    worst = std::max(worst, static_cast<double>(std::abs(function(x) - e)) / unit);
  }
  return worst;
}

}  // namespace

TEMPLATE_TEST_CASE("activations and their adjoints match the formulas", "[activation]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  for (Index const gap : {0, 5}) {
    for (Index const cols : {1, 37, 64, 2100}) {
      check_types<GeluTanh, TestType>(3, cols, gap);
      check_types<Silu, TestType>(3, cols, gap);
    }
  }
  check_types<Silu, TestType>(0, 5, 0);
  check_types<Silu, TestType>(5, 0, 0);
}

TEST_CASE("the exponential is right to a unit in the last place", "[activation]") {
  auto const exact = [](long double x) { return std::exp(x); };
  auto const ours = [](auto x) { return dashi::kernels::exponential(x); };
  CHECK(units<float>(-87.3, 88.7, ours, exact) < 1.1);
  CHECK(units<float>(-1.0, 1.0, ours, exact) < 1.1);
  CHECK(units<double>(-708.0, 709.0, ours, exact) < 1.1);
  CHECK(units<double>(-1.0, 1.0, ours, exact) < 1.1);
}

TEMPLATE_TEST_CASE("the exponential saturates and keeps NaN", "[activation]", float, double) {
  using dashi::kernels::exponential;
  TestType const infinity = std::numeric_limits<TestType>::infinity();
  CHECK(exponential(infinity) == infinity);
  CHECK(exponential(std::numeric_limits<TestType>::max()) == infinity);
  CHECK(exponential(-infinity) == 0);
  CHECK(exponential(std::numeric_limits<TestType>::lowest()) == 0);
  CHECK(exponential(TestType(0)) == 1);
  CHECK(std::isnan(exponential(std::numeric_limits<TestType>::quiet_NaN())));
  TestType const subnormal = exponential(std::log(std::numeric_limits<TestType>::min()) - 2);
  CHECK(subnormal > 0);
  CHECK(std::abs(subnormal / (std::numeric_limits<TestType>::min() * std::exp(TestType(-2))) - 1) <
        1e-5);
}

TEST_CASE("activations keep the digits of small results", "[activation]") {
  auto const gelu = [](float x) { return GeluTanh::value(x); };
  auto const exact = [](long double x) {
    long double const u = 1.5957691216057307117597842397375L * (x + 0.044715L * x * x * x);
    return x / (1 + std::exp(-u));
  };
  CHECK(units<float>(-1.0, 8.0, gelu, exact) < 4.0);
  CHECK(units<float>(-4.0, -1.0, gelu, exact) < 25.0);
  CHECK(units<float>(
            -80.0, 80.0, [](float x) { return Silu::value(x); },
            [](long double x) { return x / (1 + std::exp(-x)); }) < 3.0);
  CHECK(GeluTanh::value(1e4F) == 1e4F);
  CHECK(GeluTanh::value(-1e4F) == 0.0F);
  CHECK(Silu::derivative(-1e4F) == 0.0F);
  CHECK(GeluTanh::derivative(30.0F) == 1.0F);
}

TEST_CASE("cast rounds once and leaves gaps alone", "[cast]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  dashi::Context<Exec> ctx;
  auto const x = Grid<double, Exec>::random(5, 71, 9, 1, 2);
  Grid<dashi::BFloat16, Exec> y(5, 71, 3);
  Grid<float, Exec> z(5, 71);
  dashi::kernels::cast(ctx, x.view(), y.view());
  dashi::kernels::cast(ctx, y.view(), z.view());
  ctx.fence();
  y.download();
  z.download();
  Index wrong = 0;
  for (Index i = 0; i < 5; ++i) {
    for (Index j = 0; j < 71; ++j) {
      double const expected = dashi::convert<double>(dashi::convert<dashi::BFloat16>(x(i, j)));
      wrong += y(i, j) != expected || z(i, j) != expected;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("activations refuse extents that do not match", "[activation]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  dashi::Context<Exec> ctx;
  Grid<float, Exec> const x(3, 4);
  Grid<float, Exec> const y(3, 5);
  CHECK_THROWS_AS(dashi::kernels::activate<Silu>(ctx, x.view(), y.view()),
                  dashi::PreconditionError);
  CHECK_THROWS_AS(dashi::kernels::activate<Silu>(ctx, x.view(), y.vector(), x.view()),
                  dashi::PreconditionError);
}

}  // namespace activation_test
