// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "linalg_fixture.hpp"

#include <dashi/linalg/batched_gemm.hpp>
#include <dashi/linalg/gemm.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace gemm_test {

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

namespace {

/// The largest error of the activation of kept arguments in units of its bound.
template <class In, class Out>
double worst_activation_error(Activation activation, Dense<Out> const& arguments,
                              Dense<Out> const& got) {
  double worst = 0;
  for (Index i = 0; i < got.rows; ++i) {
    for (Index j = 0; j < got.cols; ++j) {
      double const expected = reference_activation(activation, arguments.at(i, j));
      double const bound = 12 * roundoff<linalg::AccumulateOf<In>> * std::abs(arguments.at(i, j)) +
                           2 * roundoff<Out> * std::abs(expected) + 1e-30;
      double const error = std::abs(got.at(i, j) - expected);
      worst = std::isnan(error) ? 1e300 : std::max(worst, error / bound);
    }
  }
  return worst;
}

template <class Where, class In, class Out>
void check_epilogues() {
  Context<typename Where::Exec, typename Where::Provider> ctx;
  using Exec = typename Where::Exec;
  for (Shape s : {Shape{1, 1, 1}, Shape{9, 65, 17}, Shape{20, 300, 40}, Shape{3, 5, 0}}) {
    for (Op op_b : {Op::none, Op::transpose}) {
      for (Activation activation : {Activation::none, Activation::gelu_tanh, Activation::silu}) {
        for (bool with_bias : {false, true}) {
          for (bool keeps : {false, true}) {
            for (Scale scale : {Scale{1, 0}, Scale{1, 1}, Scale{-0.5, 2}}) {
              Dense<In> a(s.m, s.k, 1);
              Dense<In> b(op_b == Op::none ? s.k : s.n, op_b == Op::none ? s.n : s.k);
              Dense<Out> c(s.m, s.n, 2);
              Dense<Out> pre(s.m, s.n);
              Dense<Out> bias(1, s.n);
              a.randomise(1);
              b.randomise(2);
              c.randomise(3);
              bias.randomise(4);
              Dense<Out> const before = c;
              linalg::Epilogue<Out, Exec> epilogue;
              epilogue.activation = activation;
              std::vector<Out> added;
              if (with_bias) {
                epilogue.bias = vector_over<Out const, Exec>(bias.memory.data(), s.n);
                added.assign(bias.memory.begin(), bias.memory.begin() + s.n);
              }
              if (keeps) {
                epilogue.pre_activation = matrix_over<Out, Exec>(pre.memory.data(), s.m, s.n);
              }
              linalg::gemm(ctx, Op::none, a.view(), op_b, b.view(), c.view(), scale, epilogue);
              ctx.fence();
              INFO(s.m << " x " << s.n << " x " << s.k << " op " << static_cast<int>(op_b)
                       << " activation " << static_cast<int>(activation) << " bias " << with_bias
                       << " keeps " << keeps << " scale " << scale.alpha << ' ' << scale.beta);
              if (keeps) {
                CHECK(worst_error(Op::none, a, op_b, b, scale, before, pre, added) <= 1);
                CHECK(worst_activation_error<In>(activation, pre, c) <= 1);
              } else {
                CHECK(worst_error(Op::none, a, op_b, b, scale, before, c, added, activation) <= 1);
              }
              CHECK(c.gaps_untouched());
            }
          }
        }
      }
    }
  }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("gemm adds a bias, activates and keeps the argument", "[linalg]", Places) {
  check_epilogues<TestType, double, double>();
  check_epilogues<TestType, float, float>();
  check_epilogues<TestType, BFloat16, BFloat16>();
  check_epilogues<TestType, BFloat16, float>();
  check_epilogues<TestType, Float16, Float16>();
}

namespace {

/// Batches with gaps between rows and matrices, and with one matrix for all.
template <class Where, class T>
void check_batches() {
  Context<typename Where::Exec, typename Where::Provider> ctx;
  using View = Kokkos::View<T***, Kokkos::LayoutStride, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>;
  for (Index batch : {1, 2, 7}) {
    for (Shape s : {Shape{5, 7, 3}, Shape{64, 33, 50}}) {
      for (bool one_a : {false, true}) {
        for (bool one_b : {false, true}) {
          for (Op op : {Op::none, Op::transpose}) {
            Index const a_count = one_a ? 1 : batch;
            Index const b_count = one_b ? 1 : batch;
            // All matrices one below the other, with a spare row between them.
            Index const a_rows = (op == Op::none ? s.m : s.k) + 1;
            Index const b_rows = (op == Op::none ? s.k : s.n) + 1;
            Dense<T> a(a_count * a_rows, op == Op::none ? s.k : s.m, 1);
            Dense<T> b(b_count * b_rows, op == Op::none ? s.n : s.k);
            Dense<T> c(batch * (s.m + 1), s.n, 2);
            a.randomise(1);
            b.randomise(2);
            c.randomise(3);
            Dense<T> const before = c;
            auto const view = [](Dense<T>& x, Index count, Index rows) {
              auto const size = [](Index i) { return static_cast<std::size_t>(i); };
              return View(x.memory.data(),
                          Kokkos::LayoutStride(size(count), size((rows + 1) * x.ld), size(rows),
                                               size(x.ld), size(x.cols), 1));
            };
            Scale const scale{1.5, 0.5};
            linalg::batched_gemm(ctx, op, view(a, a_count, a_rows - 1), op,
                                 view(b, b_count, b_rows - 1), view(c, batch, s.m), scale);
            ctx.fence();
            auto const part = [](Dense<T> const& x, Index first, Index rows) {
              Dense<T> out(rows, x.cols);
              for (Index i = 0; i < rows; ++i) {
                for (Index j = 0; j < x.cols; ++j) {
                  out(i, j) = x(first + i, j);
                }
              }
              return out;
            };
            for (Index i = 0; i < batch; ++i) {
              INFO("batch " << batch << " matrix " << i << " one A " << one_a << " one B "
                            << one_b);
              CHECK(worst_error(op, part(a, one_a ? 0 : i * a_rows, a_rows - 1), op,
                                part(b, one_b ? 0 : i * b_rows, b_rows - 1), scale,
                                part(before, i * (s.m + 1), s.m),
                                part(c, i * (s.m + 1), s.m)) <= 1);
              bool spare_row_kept = true;
              for (Index j = 0; j < s.n; ++j) {
                spare_row_kept = spare_row_kept &&
                                 c.at(i * (s.m + 1) + s.m, j) == before.at(i * (s.m + 1) + s.m, j);
              }
              CHECK(spare_row_kept);
            }
            CHECK(c.gaps_untouched());
          }
        }
      }
    }
  }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("batched_gemm is gemm for each matrix", "[linalg]", Places) {
  check_batches<TestType, double>();
  check_batches<TestType, float>();
  check_batches<TestType, BFloat16>();
  check_batches<TestType, Float16>();
}

TEST_CASE("the products of devices agree with sums in double", "[linalg]") {
  for (Shape s : {Shape{1, 1, 1}, Shape{33, 65, 17}, Shape{70, 31, 40}, Shape{3, 5, 0}}) {
    for (Op op_a : {Op::none, Op::transpose}) {
      for (Op op_b : {Op::none, Op::transpose}) {
        Dense<BFloat16> a(op_a == Op::none ? s.m : s.k, op_a == Op::none ? s.k : s.m, 1);
        Dense<BFloat16> b(op_b == Op::none ? s.k : s.n, op_b == Op::none ? s.n : s.k, 2);
        Dense<float> c(s.m, s.n, 3);
        a.randomise(1);
        b.randomise(2);
        c.randomise(3);
        Dense<float> const before = c;
        Scale const scale{0.5, -1};
        auto const call =
            linalg::detail::checked_call(op_a, a.view(), op_b, b.view(), c.view(), scale);
        backends::portable::team_gemm<1>(Kokkos::Serial(), call);
        CHECK(worst_error(op_a, a, op_b, b, scale, before, c) <= 1);
        CHECK(c.gaps_untouched());
      }
    }
  }
}

#if defined(KOKKOS_ENABLE_OPENMP)
TEST_CASE("portable products have the same bits for any number of threads", "[linalg]") {
  Dense<float> a(300, 517);
  Dense<float> b(517, 211);
  a.randomise(1);
  b.randomise(2);
  Dense<float> expected(300, 211);
  Context<Kokkos::Serial, provider::Portable> serial;
  linalg::gemm(serial, Op::none, a.view(), Op::none, b.view(), expected.view());
  for (int threads : {1, 2, 4}) {
    Context<Kokkos::OpenMP, provider::Portable> ctx{Kokkos::OpenMP(threads)};
    Dense<float> c(300, 211);
    linalg::gemm(ctx, Op::none, a.view(), Op::none, b.view(), c.view());
    CHECK(std::memcmp(c.memory.data(), expected.memory.data(), 300 * 211 * sizeof(float)) == 0);
  }
}
#endif

TEMPLATE_LIST_TEST_CASE("gemm names extents that do not match", "[linalg]", Places) {
  using Catch::Matchers::ContainsSubstring;
  Context<typename TestType::Exec, typename TestType::Provider> ctx;
  auto const message = [&](Op op_a, Index am, Index an, Index bm, Index bn, Index cm, Index cn) {
    Dense<float> a(am, an);
    Dense<float> b(bm, bn);
    Dense<float> c(cm, cn);
    try {
      linalg::gemm(ctx, op_a, a.view(), Op::none, b.view(), c.view());
    } catch (PreconditionError const& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK_THAT(message(Op::none, 3, 4, 5, 6, 3, 6),
             ContainsSubstring("3 x 4") && ContainsSubstring("5 x 6"));
  CHECK_THAT(message(Op::transpose, 4, 3, 5, 6, 3, 6),
             ContainsSubstring("3 x 4") && ContainsSubstring("5 x 6"));
  CHECK_THAT(message(Op::none, 3, 4, 4, 6, 3, 7),
             ContainsSubstring("3 x 7") && ContainsSubstring("3 x 6"));
  CHECK_THAT(message(Op::none, 3, 4, 4, 6, 4, 6),
             ContainsSubstring("4 x 6") && ContainsSubstring("3 x 6"));
  CHECK(message(Op::none, 3, 4, 4, 6, 3, 6).empty());
}

TEST_CASE("an operand keeps 64-bit strides and refuses what is not row-major", "[linalg]") {
  using View =
      Kokkos::View<float**, Kokkos::LayoutStride, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>;
  float one = 0;
  std::size_t const far = std::size_t{1} << 33;
  auto const a = linalg::operand_of(View(&one, Kokkos::LayoutStride(3, far, 2, 1)), "A");
  CHECK(a.ld == static_cast<Index>(far));
  CHECK(a.rows == 3);
  CHECK_THROWS_AS(linalg::operand_of(View(&one, Kokkos::LayoutStride(3, 1, 2, 3)), "A"),
                  PreconditionError);
  CHECK_THROWS_AS(linalg::operand_of(View(&one, Kokkos::LayoutStride(3, 1, 2, 1)), "A"),
                  PreconditionError);
  CHECK(linalg::operand_of(View(&one, Kokkos::LayoutStride(1, 9, 1, 9)), "A").ld == 1);
}

TEMPLATE_LIST_TEST_CASE("rows beyond 2^31 elements are found", "[linalg]", Places) {
  // Two rows of one element, 2^32 elements apart: only their pages are ever touched.
  std::size_t const apart = std::size_t{1} << 32;
  using View =
      Kokkos::View<float**, Kokkos::LayoutStride, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>;
  std::unique_ptr<float, void (*)(void*)> const memory(
      static_cast<float*>(std::malloc((apart + 1) * sizeof(float))), &std::free);
  if (memory == nullptr) {
    SKIP("no 16 GiB of addresses here");
  }
  float* const x = memory.get();
  x[0] = 3;
  x[apart] = 5;
  Context<typename TestType::Exec, typename TestType::Provider> ctx;
  Dense<float> b(1, 1);
  b(0, 0) = 2;
  Dense<float> c(2, 1);
  linalg::gemm(ctx, Op::none, View(x, Kokkos::LayoutStride(2, apart, 1, 1)), Op::none, b.view(),
               c.view());
  CHECK(c(0, 0) == 6);
  CHECK(c(1, 0) == 10);
}

}  // namespace gemm_test
