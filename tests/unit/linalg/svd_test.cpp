// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "linalg_fixture.hpp"

#include <dashi/core/error.hpp>
#include <dashi/linalg/decompose_numbered.hpp>
#include <dashi/linalg/qr.hpp>
#include <dashi/linalg/svd.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace svd_test {

using namespace dashi;
using namespace dashi::test;

namespace {

template <class T>
struct Factors {
  Dense<T> u;
  std::vector<T> s;
  Dense<T> vt;

  Factors(Index m, Index n, Index gap = 0)
      : u(m, std::min(m, n), gap),
        s(static_cast<std::size_t>(std::min(m, n)), T(-1)),
        vt(std::min(m, n), n, 2 * gap) {}
};

/// The largest difference between I and the products of the columns (rows) of `x`.
template <class T>
double defect(Dense<T> const& x, bool columns) {
  Index const count = columns ? x.cols : x.rows;
  Index const length = columns ? x.rows : x.cols;
  double worst = 0;
  for (Index i = 0; i < count; ++i) {
    for (Index j = 0; j <= i; ++j) {
      double sum = i == j ? -1 : 0;
      for (Index e = 0; e < length; ++e) {
        sum += columns ? x.at(e, i) * x.at(e, j) : x.at(i, e) * x.at(j, e);
      }
      worst = std::isnan(sum) ? 1e300 : std::max(worst, std::abs(sum));
    }
  }
  return worst;
}

template <class T>
double norm_of(Dense<T> const& a) {
  double sum = 0;
  for (Index i = 0; i < a.rows; ++i) {
    for (Index j = 0; j < a.cols; ++j) {
      sum = std::hypot(sum, a.at(i, j));
    }
  }
  return sum;
}

/// Backward stable algorithms are off by a modest multiple of the larger extent in roundoffs.
template <class T>
double allowance(Index m, Index n) {
  return 8 * static_cast<double>(std::max(m, n) + 8) * roundoff<T>;
}

template <class T>
void check_factors(Dense<T> const& a, Factors<T> const& f) {
  INFO(a.rows << " x " << a.cols);
  Index const k = std::min(a.rows, a.cols);
  double const allowed = allowance<T>(a.rows, a.cols);
  CHECK(defect(f.u, true) <= allowed);
  CHECK(defect(f.vt, false) <= allowed);
  double residual = 0;
  for (Index i = 0; i < a.rows; ++i) {
    for (Index j = 0; j < a.cols; ++j) {
      double sum = -a.at(i, j);
      for (Index e = 0; e < k; ++e) {
        sum += f.u.at(i, e) * static_cast<double>(f.s[static_cast<std::size_t>(e)]) * f.vt.at(e, j);
      }
      residual = std::hypot(residual, sum);
    }
  }
  CHECK(residual <= allowed * norm_of(a));
  for (std::size_t i = 0; i < f.s.size(); ++i) {
    CHECK(f.s[i] >= 0);
    CHECK((i == 0 || f.s[i] <= f.s[i - 1]));
  }
  CHECK(f.u.gaps_untouched());
  CHECK(f.vt.gaps_untouched());
}

/// X v, or X' v.
template <class T>
std::vector<double> times(Dense<T> const& x, bool transposed, std::vector<double> const& v) {
  std::vector<double> out(static_cast<std::size_t>(transposed ? x.cols : x.rows));
  for (Index i = 0; i < x.rows; ++i) {
    for (Index j = 0; j < x.cols; ++j) {
      out[static_cast<std::size_t>(transposed ? j : i)] +=
          x.at(i, j) * v[static_cast<std::size_t>(transposed ? i : j)];
    }
  }
  return out;
}

inline double distance(std::vector<double> const& x, std::vector<double> const& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    sum = std::hypot(sum, x[i] - y[i]);
  }
  return std::isnan(sum) ? 1e300 : sum;
}

/// check_factors of large matrices on one random vector: quadratic time.
template <class T>
void check_factors_on_a_vector(Dense<T> const& a, Factors<T> const& f) {
  INFO(a.rows << " x " << a.cols);
  double const allowed = allowance<T>(a.rows, a.cols);
  auto const random = [](Index size) { return Dense<double>(1, size).randomise(77).memory; };
  std::vector<double> x = random(a.cols);
  x.pop_back();
  std::vector<double> y = random(f.u.cols);
  y.pop_back();
  double const x_norm = distance(x, std::vector<double>(x.size()));
  double const y_norm = distance(y, std::vector<double>(y.size()));
  CHECK(distance(times(f.u, true, times(f.u, false, y)), y) <= allowed * y_norm);
  CHECK(distance(times(f.vt, false, times(f.vt, true, y)), y) <= allowed * y_norm);
  std::vector<double> scaled = times(f.vt, false, x);
  for (std::size_t i = 0; i < scaled.size(); ++i) {
    scaled[i] *= static_cast<double>(f.s[i]);
    CHECK((i == 0 || f.s[i] <= f.s[i - 1]));
  }
  CHECK(distance(times(f.u, false, scaled), times(a, false, x)) <= allowed * norm_of(a) * x_norm);
}

template <class Where, class T>
Factors<T> decompose(Dense<T>& a, Index gap = 0) {
  Context<typename Where::Exec, typename Where::Provider> ctx;
  Factors<T> f(a.rows, a.cols, gap);
  auto const s = vector_over<T, Kokkos::Serial>(f.s.data(), static_cast<Index>(f.s.size()));
  Dense<T> const before = a;
  linalg::svd(ctx, a.view(), f.u.view(), s, f.vt.view());
  for (Index i = 0; i < a.rows; ++i) {
    for (Index j = 0; j < a.cols; ++j) {
      REQUIRE(a(i, j) == before(i, j));
    }
  }
  check_factors(a, f);
  std::vector<T> alone(f.s.size());
  linalg::singular_values(
      ctx, a.view(),
      vector_over<T, Kokkos::Serial>(alone.data(), static_cast<Index>(alone.size())));
  for (std::size_t i = 0; i < alone.size(); ++i) {
    CHECK(std::abs(static_cast<double>(alone[i]) - static_cast<double>(f.s[i])) <=
          allowance<T>(a.rows, a.cols) * static_cast<double>(f.s[0]));
  }
  return f;
}

/// Q diag(values) P' with orthogonal Q and P, in double.
template <class T>
Dense<T> with_spectrum(Index m, Index n, std::vector<double> const& values) {
  Context<Kokkos::Serial, provider::Portable> ctx;
  Index const k = std::min(m, n);
  auto const basis = [&](Index rows, std::uint64_t seed) {
    Dense<double> a(rows, k);
    Dense<double> q(rows, k);
    Dense<double> r(k, k);
    linalg::qr(ctx, a.randomise(seed).view(), q.view(), r.view());
    return q;
  };
  Dense<double> const left = basis(m, 11);
  Dense<double> const right = basis(n, 12);
  Dense<T> a(m, n);
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j) {
      double sum = 0;
      for (Index e = 0; e < k; ++e) {
        sum += left(i, e) * values[static_cast<std::size_t>(e)] * right(j, e);
      }
      a(i, j) = static_cast<T>(sum);
    }
  }
  return a;
}

template <class Where, class T>
void check_spectrum(Index m, Index n, std::vector<double> const& values) {
  Dense<T> a = with_spectrum<T>(m, n, values);
  auto const f = decompose<Where>(a);
  for (std::size_t i = 0; i < values.size(); ++i) {
    CHECK(std::abs(static_cast<double>(f.s[i]) - values[i]) <=
          allowance<T>(m, n) * std::max(values[0], 1e-300));
  }
}

template <class Where, class T>
void check_everything() {
  struct Shape {
    Index m, n;
  };
  for (Shape s : {Shape{1, 1}, Shape{1, 7}, Shape{7, 1}, Shape{2, 2}, Shape{5, 5}, Shape{33, 33},
                  Shape{40, 33}, Shape{33, 40}, Shape{200, 17}, Shape{17, 200}, Shape{96, 64}}) {
    Dense<T> a(s.m, s.n, 3);
    a.randomise(static_cast<std::uint64_t>(s.m * 1000 + s.n));
    decompose<Where>(a, 2);
  }
  std::vector<double> graded;
  for (int i = 0; i < 24; ++i) {
    graded.push_back(std::pow(10.0, -i));
  }
  check_spectrum<Where, T>(24, 24, graded);
  check_spectrum<Where, T>(60, 24, graded);
  check_spectrum<Where, T>(12, 30, std::vector<double>(12, 3.0));  // all the same
  check_spectrum<Where, T>(20, 20, {5, 5, 5, 2, 2, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  check_spectrum<Where, T>(50, 6, {5, 4, 0, 0, 0, 0});
  check_spectrum<Where, T>(6, 50, {5, 4, 0, 0, 0, 0});
  for (Shape s : {Shape{1, 1}, Shape{9, 9}, Shape{30, 4}, Shape{4, 30}}) {
    Dense<T> zero(s.m, s.n);
    zero.fill(0);
    decompose<Where>(zero);
    Dense<T> ones(s.m, s.n);
    ones.fill(1);
    decompose<Where>(ones);
  }
  for (double scale : {double{std::numeric_limits<T>::max()} / 64, 1e-35}) {
    Dense<T> a(10, 8);
    a.randomise(5);
    for (Index i = 0; i < a.rows; ++i) {
      for (Index j = 0; j < a.cols; ++j) {
        a(i, j) = static_cast<T>(a.at(i, j) * scale / 8);
      }
    }
    decompose<Where>(a);
  }
}

template <class T, class Exec>
linalg::SvdProblem<T, Exec> problem_of(Dense<T>& a, Factors<T>& f) {
  return {matrix_over<T const, Exec>(a.memory.data(), a.rows, a.cols),
          matrix_over<T, Exec>(f.u.memory.data(), f.u.rows, f.u.cols),
          vector_over<T, Exec>(f.s.data(), static_cast<Index>(f.s.size())),
          matrix_over<T, Exec>(f.vt.memory.data(), f.vt.rows, f.vt.cols)};
}

template <class Body>
std::string place_of_error(Body const& body) {
  try {
    body();
  } catch (Error const& error) {
    return error.diagnosis().place;
  }
  return "nothing was thrown";
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("svd gives orthonormal factors whose product is the matrix", "[linalg]",
                        Places) {
  check_everything<TestType, double>();
  check_everything<TestType, float>();
}

TEMPLATE_LIST_TEST_CASE("svd refuses NaN and infinity", "[linalg]", Places) {
  Context<typename TestType::Exec, typename TestType::Provider> ctx;
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                    -std::numeric_limits<float>::infinity()}) {
    for (Index at : {0, 37, 63}) {
      Dense<float> a(8, 8);
      a.randomise(1)(at / 8, at % 8) = bad;
      Factors<float> f(8, 8);
      auto const s = vector_over<float, Kokkos::Serial>(f.s.data(), 8);
      CHECK_THROWS_AS(linalg::svd(ctx, a.view(), f.u.view(), s, f.vt.view()), ConvergenceError);
      CHECK_THROWS_AS(linalg::singular_values(ctx, a.view(), s), ConvergenceError);
    }
  }
}

TEMPLATE_LIST_TEST_CASE("svd_batch gives what svd gives", "[linalg]", Places) {
  using Exec = typename TestType::Exec;
  Context<Exec, typename TestType::Provider> ctx;
  std::vector<Dense<float>> matrices;
  std::vector<Factors<float>> factors;
  std::vector<linalg::SvdProblem<float, Exec>> problems;
  for (Index i = 0; i < 9; ++i) {
    matrices.emplace_back(10 + 13 * (i % 4), 50 - 9 * (i % 5))
        .randomise(static_cast<std::uint64_t>(i));
    factors.emplace_back(matrices.back().rows, matrices.back().cols);
  }
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    problems.push_back(problem_of<float, Exec>(matrices[i], factors[i]));
  }
  linalg::svd_batch(ctx, std::span<linalg::SvdProblem<float, Exec> const>(problems));
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    check_factors(matrices[i], factors[i]);
    auto const single = decompose<TestType>(matrices[i]);
    for (std::size_t e = 0; e < single.s.size(); ++e) {
      CHECK(std::abs(single.s[e] - factors[i].s[e]) <= 1e-5F * single.s[0]);
    }
  }
  matrices[4](1, 1) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(
      linalg::svd_batch(ctx, std::span<linalg::SvdProblem<float, Exec> const>(problems)),
      ConvergenceError);
}

TEMPLATE_LIST_TEST_CASE("matrices of one shape are decomposed as each is alone", "[linalg]",
                        Places) {
  using Exec = typename TestType::Exec;
  Context<Exec, typename TestType::Provider> ctx;
  std::vector<Dense<float>> matrices;
  std::vector<Factors<float>> factors;
  std::vector<linalg::SvdProblem<float, Exec>> problems;
  for (std::uint64_t i = 0; i < 7; ++i) {
    bool const tall = i % 2 == 0;  // a shape and its transpose are worked on together
    Index const rows = tall ? 24 : 17;
    matrices.emplace_back(rows, 41 - rows).randomise(i);
    factors.emplace_back(rows, 41 - rows);
  }
  for (Index i = 0; i < 24; ++i) {
    for (Index j = 0; j < 17; ++j) {
      matrices[2](i, j) = 0;                                           // of no direction
      matrices[4](i, j) = 1e30F * static_cast<float>(i * j % 5 == 0);  // of low rank, and large
      matrices[6](i, j) = i == j ? 1e-30F : 0;                         // nothing to rotate
    }
  }
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    problems.push_back(problem_of<float, Exec>(matrices[i], factors[i]));
  }
  linalg::svd_batch(ctx, std::span<linalg::SvdProblem<float, Exec> const>(problems));
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    INFO("matrix " << i);
    check_factors(matrices[i], factors[i]);
    auto const alone = decompose<TestType>(matrices[i]);
    if constexpr (std::is_same_v<typename TestType::Provider, provider::Portable>) {
      CHECK(alone.s == factors[i].s);
      bool same = true;
      for (Index k = 0; k < 17; ++k) {
        for (Index e = 0; e < matrices[i].rows; ++e) {
          same = same && alone.u.at(e, k) == factors[i].u.at(e, k);
        }
        for (Index e = 0; e < matrices[i].cols; ++e) {
          same = same && alone.vt.at(k, e) == factors[i].vt.at(k, e);
        }
      }
      CHECK(same);
    }
  }
}

TEST_CASE("matrices of one shape are decomposed in parts, few by another", "[linalg]") {
  using Call = linalg::SvdCall<float>;
  namespace portable = backends::portable;
  Kokkos::DefaultHostExecutionSpace const exec;
  std::vector<Dense<float>> matrices;
  std::vector<Factors<float>> factors;
  std::vector<Call> calls;
  for (std::uint64_t i = 0; i < 7; ++i) {
    matrices.emplace_back(i == 2 ? 5 : 9, 6).randomise(i);
    factors.emplace_back(matrices.back().rows, 6);
  }
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    Dense<float> const& a = matrices[i];
    Factors<float>& f = factors[i];
    calls.push_back({a.rows, a.cols, a.memory.data(), a.ld, f.u.memory.data(), f.u.ld, f.s.data(),
                     f.vt.memory.data(), f.vt.ld, static_cast<Index>(10 + i)});
  }
  std::vector<Index> others;
  auto const one = [&](Call const& call) { others.push_back(call.number); };
  auto const run = [&](std::size_t fewest, std::size_t fit) {
    others.clear();
    for (Factors<float>& f : factors) {
      std::fill(f.s.begin(), f.s.end(), -1.0F);
    }
    portable::svd_by_shapes(
        exec, std::span<Call const>(calls), fewest, one,
        fit * portable::SvdWork<Kokkos::DefaultHostExecutionSpace, float>::bytes(calls[0]));
  };
  run(1, 4);  // two parts of three
  CHECK(others.empty());
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    check_factors(matrices[i], factors[i]);
  }
  run(4, 6);
  CHECK(others == std::vector<Index>{12});
  CHECK(factors[0].s[0] > 0);
  run(4, 5);  // even parts would be too small: five together and one alone
  CHECK(others == std::vector<Index>{12, 16});
  CHECK(factors[0].s[0] > 0);
  run(4, 3);
  CHECK(others == std::vector<Index>{12, 10, 11, 13, 14, 15, 16});
  CHECK(factors[0].s[0] == -1);
  run(1, 0);
  CHECK(others.empty());
  check_factors(matrices[6], factors[6]);

  // Matrix 10 is orthogonal already, after its one sweep; the next one is not.
  std::fill(matrices[0].memory.begin(), matrices[0].memory.end(), 0.0F);
  for (Index i = 0; i < 6; ++i) {
    matrices[0](i, i) = static_cast<float>(6 - i);
  }
  std::vector<Call> const tall{calls[0], calls[1], calls[3]};
  CHECK(place_of_error([&] { portable::svd_of_one_shape(exec, std::span<Call const>(tall), 1); }) ==
        "dashi::linalg::svd, matrix 11");
}

TEMPLATE_LIST_TEST_CASE("svd_batch says which matrix holds no numbers", "[linalg]", Places) {
  using Exec = typename TestType::Exec;
  Context<Exec, typename TestType::Provider> ctx;
  std::vector<Dense<double>> matrices;
  std::vector<Factors<double>> factors;
  for (Index rows : {0, 3, 0, 4}) {  // empty ones count
    matrices.emplace_back(rows, 3).randomise(1);
    factors.emplace_back(rows, 3);
  }
  matrices[3](0, 0) = std::numeric_limits<double>::infinity();
  std::vector<linalg::SvdProblem<double, Exec>> problems;
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    problems.push_back(problem_of<double, Exec>(matrices[i], factors[i]));
  }
  CHECK(place_of_error([&] {
          linalg::svd_batch(ctx, std::span<linalg::SvdProblem<double, Exec> const>(problems));
        }) == "dashi::linalg::svd_batch, matrix 3");
}

TEST_CASE("the number of a matrix is added to what its decomposition throws", "[linalg]") {
  linalg::SvdCall<float> call;
  auto const fails = [] {
    throw ConvergenceError({.code = {},
                            .file = {},
                            .place = "gesdd",
                            .found = "no convergence",
                            .expected = {},
                            .advice = {}});
  };
  CHECK(place_of_error([&] { linalg::decompose_numbered(call, fails); }) == "gesdd");
  call.number = 7;
  CHECK_THROWS_AS(linalg::decompose_numbered(call, fails), ConvergenceError);
  CHECK(place_of_error([&] { linalg::decompose_numbered(call, fails); }) == "gesdd, matrix 7");
}

#if defined(DASHI_HOST_OPENBLAS)
TEMPLATE_LIST_TEST_CASE("of the matrices that LAPACK refuses the first is named", "[linalg]",
                        Places) {
  using Exec = typename TestType::Exec;
  Context<Exec, provider::Host> ctx;
  // The front door would not let them through. The most expensive one is decomposed first.
  std::vector<Dense<float>> matrices;
  std::vector<Factors<float>> factors;
  std::vector<linalg::SvdCall<float>> calls;
  for (Index i = 0; i < 6; ++i) {
    matrices.emplace_back(4 + 5 * i, 4 + 5 * i).randomise(static_cast<std::uint64_t>(i));
    factors.emplace_back(4 + 5 * i, 4 + 5 * i);
  }
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    Dense<float>& a = matrices[i];
    Factors<float>& f = factors[i];
    if (i >= 2) {
      a(1, 1) = std::numeric_limits<float>::quiet_NaN();
    }
    calls.push_back({a.rows, a.cols, a.memory.data(), a.ld, f.u.memory.data(), f.u.ld, f.s.data(),
                     f.vt.memory.data(), f.vt.ld, static_cast<Index>(10 + i)});
  }
  using Backend = linalg::Backend<Exec, provider::Host>;
  CHECK(place_of_error([&] {
          Backend::svd(ctx, std::span<linalg::SvdCall<float> const>(calls));
        }) == "gesdd, matrix 12");
  check_factors(matrices[1], factors[1]);
}
#endif

#if defined(KOKKOS_ENABLE_OPENMP) && defined(DASHI_HOST_ENABLED)
TEST_CASE("large matrices left over are decomposed on all threads", "[linalg]") {
  Context<Kokkos::OpenMP, provider::Host> ctx{Kokkos::OpenMP(2)};
  std::vector<Dense<float>> matrices;
  std::vector<Factors<float>> factors;
  std::vector<linalg::SvdProblem<float, Kokkos::OpenMP>> problems;
  for (std::uint64_t i = 0; i < 3; ++i) {
    matrices.emplace_back(520, 520).randomise(i);
    factors.emplace_back(520, 520);
  }
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    problems.push_back(problem_of<float, Kokkos::OpenMP>(matrices[i], factors[i]));
  }
  linalg::svd_batch(ctx, std::span<linalg::SvdProblem<float, Kokkos::OpenMP> const>(problems));
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    check_factors_on_a_vector(matrices[i], factors[i]);
  }
  Dense<float> tall(1152, 384);
  tall.randomise(9);
  Factors<float> f(1152, 384);
  linalg::svd(ctx, tall.view(), f.u.view(), vector_over<float, Kokkos::Serial>(f.s.data(), 384),
              f.vt.view());
  check_factors_on_a_vector(tall, f);
}
#endif

TEMPLATE_LIST_TEST_CASE("svd names extents that do not match", "[linalg]", Places) {
  Context<typename TestType::Exec, typename TestType::Provider> ctx;
  Dense<float> a(6, 4);
  a.randomise(1);
  Factors<float> f(6, 4);
  Factors<float> other(5, 3);
  auto const s = vector_over<float, Kokkos::Serial>(f.s.data(), 4);
  CHECK_THROWS_AS(linalg::svd(ctx, a.view(), other.u.view(), s, f.vt.view()), PreconditionError);
  CHECK_THROWS_AS(linalg::svd(ctx, a.view(), f.u.view(), s, other.vt.view()), PreconditionError);
  CHECK_THROWS_AS(linalg::svd(ctx, a.view(), f.u.view(),
                              vector_over<float, Kokkos::Serial>(f.s.data(), 3), f.vt.view()),
                  PreconditionError);
}

namespace {

template <class Where, class T>
void check_qr() {
  Context<typename Where::Exec, typename Where::Provider> ctx;
  struct Shape {
    Index m, n;
  };
  for (Shape s : {Shape{1, 1}, Shape{7, 1}, Shape{1, 7}, Shape{33, 33}, Shape{130, 40},
                  Shape{40, 130}, Shape{5, 5}}) {
    for (int kind = 0; kind < 3; ++kind) {
      Index const k = std::min(s.m, s.n);
      Dense<T> a(s.m, s.n, 1);
      if (kind == 0) {
        a.randomise(7);
      } else {
        a.fill(kind - 1);  // zero, or rank one
      }
      Dense<T> q(s.m, k, 2);
      Dense<T> r(k, s.n, 3);
      linalg::qr(ctx, a.view(), q.view(), r.view());
      INFO(s.m << " x " << s.n << " kind " << kind);
      double const allowed = allowance<T>(s.m, s.n);
      CHECK(defect(q, true) <= allowed);
      double residual = 0;
      for (Index i = 0; i < s.m; ++i) {
        for (Index j = 0; j < s.n; ++j) {
          double sum = -a.at(i, j);
          for (Index e = 0; e < k; ++e) {
            sum += q.at(i, e) * r.at(e, j);
          }
          residual = std::hypot(residual, sum);
        }
      }
      CHECK(residual <= allowed * norm_of(a));
      bool triangular = true;
      for (Index i = 0; i < k; ++i) {
        for (Index j = 0; j < std::min(i, s.n); ++j) {
          triangular = triangular && r(i, j) == T{};
        }
      }
      CHECK(triangular);
      CHECK(q.gaps_untouched());
      CHECK(r.gaps_untouched());
    }
  }
  Dense<T> a(6, 4);
  Dense<T> q(6, 4);
  Dense<T> r(3, 4);
  CHECK_THROWS_AS(linalg::qr(ctx, a.view(), q.view(), r.view()), PreconditionError);
  CHECK_THROWS_AS(linalg::qr(ctx, a.view(), r.view(), r.view()), PreconditionError);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("qr gives an orthonormal Q and a triangular R", "[linalg]", Places) {
  check_qr<TestType, double>();
  check_qr<TestType, float>();
}

#if defined(KOKKOS_ENABLE_OPENMP)
namespace {

template <class T>
std::vector<T> portable_bits(auto&& exec, Dense<T>& a) {
  Context<std::remove_cvref_t<decltype(exec)>, provider::Portable> ctx{exec};
  Factors<T> f(a.rows, a.cols);
  Dense<T> q(a.rows, std::min(a.rows, a.cols));
  Dense<T> r(std::min(a.rows, a.cols), a.cols);
  linalg::svd(ctx, a.view(), f.u.view(),
              vector_over<T, Kokkos::Serial>(f.s.data(), static_cast<Index>(f.s.size())),
              f.vt.view());
  linalg::qr(ctx, a.view(), q.view(), r.view());
  std::vector<T> all = f.s;
  for (auto const* part : {&f.u, &f.vt, &q, &r}) {
    all.insert(all.end(), part->memory.begin(), part->memory.end() - 1);
  }
  return all;
}

}  // namespace

TEST_CASE("portable decompositions have the same bits for any number of threads", "[linalg]") {
  Dense<float> a(150, 136);
  a.randomise(4);
  std::vector<float> const expected = portable_bits(Kokkos::Serial(), a);
  for (int threads : {1, 2, 4}) {
    CHECK(portable_bits(Kokkos::OpenMP(threads), a) == expected);
  }
}
#endif

}  // namespace svd_test
