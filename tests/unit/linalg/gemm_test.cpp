// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "linalg_fixture.hpp"

#include <dashi/linalg/batched_gemm.hpp>
#include <dashi/linalg/gemm.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

using namespace dashi;
using namespace dashi::test;
using linalg::Activation;
using linalg::Op;
using linalg::Scale;

namespace {

struct Shape {
  Index m, n, k;
};

double reference_activation(Activation activation, double x) {
  switch (activation) {
    case Activation::gelu_tanh:
      return 0.5 * x *
             (1 + std::tanh(std::sqrt(2 / 3.141592653589793) * (x + 0.044715 * x * x * x)));
    case Activation::silu: return x / (1 + std::exp(-x));
    case Activation::none: break;
  }
  return x;
}

/// The largest error of `got` in units of its bound. A sum of k products of rounded numbers in any
/// order is off by at most about k roundoffs of the sum of magnitudes; writing adds one of Out's.
template <class In, class Out>
double worst_error(Op op_a, Dense<In> const& a, Op op_b, Dense<In> const& b, Scale scale,
                   Dense<Out> const& before, Dense<Out> const& got,
                   std::vector<Out> const& bias = {}, Activation activation = Activation::none) {
  Index const k = op_a == Op::none ? a.cols : a.rows;
  double worst = 0;
  for (Index i = 0; i < got.rows; ++i) {
    for (Index j = 0; j < got.cols; ++j) {
      double sum = 0;
      double magnitude = 0;
      for (Index p = 0; p < k; ++p) {
        double const product = (op_a == Op::none ? a.at(i, p) : a.at(p, i)) *
                               (op_b == Op::none ? b.at(p, j) : b.at(j, p));
        sum += product;
        magnitude += std::abs(product);
      }
      double expected = scale.alpha * sum;
      magnitude *= std::abs(scale.alpha);
      if (scale.beta != 0) {
        expected += scale.beta * before.at(i, j);
        magnitude += std::abs(scale.beta * before.at(i, j));
      }
      if (!bias.empty()) {
        double const added = convert<double>(bias[static_cast<std::size_t>(j)]);
        expected += added;
        magnitude += std::abs(added);
      }
      expected = reference_activation(activation, expected);
      // Both activations have slopes below 1.13; their own evaluation adds a few roundoffs.
      double const bound =
          1.2 * static_cast<double>(k + 8) * roundoff<linalg::AccumulateOf<In>> * magnitude +
          2 * roundoff<Out> * std::abs(expected) + 1e-30;
      double const error = std::abs(got.at(i, j) - expected);
      worst = std::isnan(got.at(i, j)) ? 1e300 : std::max(worst, error / bound);
    }
  }
  return worst;
}

template <class Where, class In, class Out>
void check_products(Shape s, Index gap, Scale scale) {
  Context<typename Where::Exec, typename Where::Provider> ctx;
  for (Op op_a : {Op::none, Op::transpose}) {
    for (Op op_b : {Op::none, Op::transpose}) {
      Dense<In> a(op_a == Op::none ? s.m : s.k, op_a == Op::none ? s.k : s.m, gap);
      Dense<In> b(op_b == Op::none ? s.k : s.n, op_b == Op::none ? s.n : s.k, 2 * gap);
      Dense<Out> c(s.m, s.n, 3 * gap);
      a.randomise(1);
      b.randomise(2);
      if (scale.beta != 0) {
        c.randomise(3);
      }
      Dense<Out> const before = c;
      linalg::gemm(ctx, op_a, a.view(), op_b, b.view(), c.view(), scale);
      ctx.fence();
      INFO(s.m << " x " << s.n << " x " << s.k << " gap " << gap << " ops "
               << static_cast<int>(op_a) << static_cast<int>(op_b));
      CHECK(worst_error(op_a, a, op_b, b, scale, before, c) <= 1);
      CHECK(c.gaps_untouched());
    }
  }
}

template <class Where, class In, class Out>
void check_all_products() {
  for (Shape s : {Shape{1, 1, 1}, Shape{7, 5, 3}, Shape{1, 65, 17}, Shape{33, 1, 40},
                  Shape{67, 49, 129}, Shape{100, 200, 300}}) {
    check_products<Where, In, Out>(s, 0, {});
    check_products<Where, In, Out>(s, 3, {-0.5, 2});
  }
  check_products<Where, In, Out>({5, 9, 0}, 1, {1, 2});
  check_products<Where, In, Out>({5, 9, 0}, 1, {1, 0});
  check_products<Where, In, Out>({0, 9, 4}, 0, {});
  check_products<Where, In, Out>({5, 0, 4}, 0, {});
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("gemm agrees with sums in double", "[linalg]", Places) {
  check_all_products<TestType, double, double>();
  check_all_products<TestType, float, float>();
  check_all_products<TestType, BFloat16, BFloat16>();
  check_all_products<TestType, BFloat16, float>();
  check_all_products<TestType, Float16, Float16>();
  check_all_products<TestType, Float16, float>();
}
