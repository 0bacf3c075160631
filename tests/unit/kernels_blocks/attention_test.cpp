// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/attention.hpp>

#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include "grid.hpp"

namespace attention_test {

namespace {

using dashi::Index;
using dashi::kernels::AccumulatorOf;
using dashi::test::Grid;
using dashi::test::relative_error;
using dashi::test::roundoff;

struct Shape {
  Index samples, tokens, heads, head_size;
  Index gap = 0;
  double amplitude = 1;

  Index rows() const { return samples * tokens; }
  Index width() const { return heads * head_size; }
};

/// softmax(q k^T / sqrt(d)) v in double; qkv(row, column) as in the fused matrix.
struct Reference {
  std::vector<double> out, log_sum_exp;
  Index width, tokens;
  double operator()(Index i, Index j) const { return out[static_cast<std::size_t>(i * width + j)]; }

  template <class Qkv>
  Reference(Shape const& s, Qkv const& qkv)
      : out(static_cast<std::size_t>(s.rows() * s.width())),
        log_sum_exp(static_cast<std::size_t>(s.samples * s.heads * s.tokens)),
        width(s.width()),
        tokens(s.tokens) {
    std::vector<double> scores(static_cast<std::size_t>(s.tokens));
    for (Index n = 0; n < s.samples * s.heads; ++n) {
      Index const row = n / s.heads * s.tokens;
      Index const column = n % s.heads * s.head_size;
      for (Index i = 0; i < s.tokens; ++i) {
        double top = -1e300;
        for (Index j = 0; j < s.tokens; ++j) {
          double score = 0;
          for (Index c = 0; c < s.head_size; ++c) {
            score += qkv(row + i, column + c) * qkv(row + j, s.width() + column + c);
          }
          scores[static_cast<std::size_t>(j)] = score / std::sqrt(static_cast<double>(s.head_size));
          top = std::max(top, scores[static_cast<std::size_t>(j)]);
        }
        double sum = 0;
        for (double& score : scores) {
          score = std::exp(score - top);
          sum += score;
        }
        log_sum_exp[static_cast<std::size_t>(n * s.tokens + i)] = top + std::log(sum);
        for (Index c = 0; c < s.head_size; ++c) {
          double total = 0;
          for (Index j = 0; j < s.tokens; ++j) {
            total += scores[static_cast<std::size_t>(j)] / sum *
                     qkv(row + j, 2 * s.width() + column + c);
          }
          out[static_cast<std::size_t>((row + i) * width + column + c)] = total;
        }
      }
    }
  }
};

template <class T, class Exec>
struct Problem {
  Shape shape;
  Grid<T, Exec> qkv, out, d_out, d_qkv;
  Grid<AccumulatorOf<T>, Exec> log_sum_exp;

  explicit Problem(Shape const& s)
      : shape(s),
        qkv(Grid<T, Exec>::random(s.rows(), 3 * s.width(), 1, s.amplitude, s.gap)),
        out(s.rows(), s.width(), s.gap),
        d_out(Grid<T, Exec>::random(s.rows(), s.width(), 2, 1, s.gap)),
        d_qkv(s.rows(), 3 * s.width(), s.gap),
        log_sum_exp(s.samples * s.heads, s.tokens) {}

  dashi::kernels::Attention<T, Exec> forward() const {
    dashi::kernels::Attention<T, Exec> a;
    a.tokens = shape.tokens;
    a.heads = shape.heads;
    a.split(qkv.view());
    a.out = out.view();
    a.log_sum_exp = log_sum_exp.view();
    return a;
  }
  dashi::kernels::AttentionAdjoint<T, Exec> adjoint() const {
    dashi::kernels::AttentionAdjoint<T, Exec> a;
    a.tokens = shape.tokens;
    a.heads = shape.heads;
    a.split(qkv.view(), d_qkv.view());
    a.out = out.view();
    a.d_out = d_out.view();
    a.log_sum_exp = log_sum_exp.view();
    return a;
  }

  template <class Context>
  void run(Context& ctx) {
    ctx.reserve_scratch(std::max(
        dashi::kernels::attention_scratch_bytes<T>(ctx, shape.tokens, shape.head_size),
        dashi::kernels::attention_adjoint_scratch_bytes<T>(ctx, shape.tokens, shape.head_size)));
    dashi::kernels::attention(ctx, forward());
    dashi::kernels::attention_adjoint(ctx, adjoint());
    ctx.fence();
    download();
  }
  /// The kernels for devices, wherever Exec is.
  void run_by_teams() {
    Exec const exec;
    auto const a = forward();
    auto const sizes = dashi::kernels::detail::attention_sizes(a, a.q);
    dashi::kernels::detail::attention_by_teams(exec, a, sizes);
    dashi::kernels::detail::attention_adjoint_by_teams(exec, adjoint(), sizes);
    exec.fence();
    download();
  }
  void download() {
    out.download();
    d_qkv.download();
    log_sum_exp.download();
  }
};

template <class T, class Exec>
void check_forward(Problem<T, Exec> const& p) {
  Reference const expected(p.shape, p.qkv);
  // Scores carry roundings of head_size products; exponentials turn them into relative errors.
  using Real = AccumulatorOf<T>;
  double const growth = 40 * p.shape.amplitude * p.shape.amplitude;
  double const bound = growth * roundoff<Real>() + 2 * roundoff<T>();
  CHECK(relative_error(p.out, expected, p.shape.rows(), p.shape.width(), 0.1) < bound);
  CHECK(relative_error(
            p.log_sum_exp,
            [&](Index n, Index i) {
              return expected.log_sum_exp[static_cast<std::size_t>(n * p.shape.tokens + i)];
            },
            p.shape.samples * p.shape.heads, p.shape.tokens, 1.0) < growth * roundoff<Real>());
}

template <class T, class Exec>
void check(Shape const& shape) {
  CAPTURE(shape.samples, shape.tokens, shape.heads, shape.head_size, shape.gap);
  Problem<T, Exec> p(shape);
  dashi::Context<Exec> ctx;
  p.run(ctx);
  check_forward(p);
  auto const gradient = p.d_qkv;
  Problem<T, Exec> teams(shape);
  teams.run_by_teams();
  check_forward(teams);
  if (shape.amplitude > 10) {
    return;  // a small change of a score changes everything
  }
  // Two orders of summation, compared with each other; check_differences says they are right.
  double const growth = 60 * roundoff<AccumulatorOf<T>>() + 16 * roundoff<T>();
  CHECK(relative_error(gradient, teams.d_qkv, shape.rows(), 3 * shape.width()) < growth);
}

template <class Exec>
double loss(Problem<double, Exec> const& p) {
  Reference const reference(p.shape, p.qkv);
  double total = 0;
  for (Index i = 0; i < p.shape.rows(); ++i) {
    for (Index j = 0; j < p.shape.width(); ++j) {
      total += p.d_out(i, j) * reference(i, j);
    }
  }
  return total;
}

template <class Exec>
void check_differences(Shape const& shape, bool by_teams) {
  CAPTURE(shape.samples, shape.tokens, shape.heads, shape.head_size, by_teams);
  Problem<double, Exec> p(shape);
  dashi::Context<Exec, dashi::provider::Portable> ctx;
  if (by_teams) {
    p.run_by_teams();
  } else {
    p.run(ctx);
  }
  double const step = 1e-5;
  Index const every = shape.rows() * shape.width() > 400 ? 41 : 3;
  for (Index n = 0; n < shape.rows() * 3 * shape.width(); n += every) {
    Index const i = n / (3 * shape.width());
    Index const j = n % (3 * shape.width());
    double const value = p.qkv(i, j);
    p.qkv.set(i, j, value + step);
    double const above = loss(p);
    p.qkv.set(i, j, value - step);
    double const below = loss(p);
    p.qkv.set(i, j, value);
    double const expected = (above - below) / (2 * step);
    CHECK(std::abs(p.d_qkv(i, j) - expected) < 1e-7 * (1 + std::abs(expected)));
  }
}

struct ForwardAndAdjoint {
  template <class Exec>
  std::vector<double> run(dashi::Context<Exec>& ctx) const {
    Problem<float, Exec> p({3, 53, 3, 72});
    p.run(ctx);
    std::vector<double> all = p.out.values();
    auto const gradient = p.d_qkv.values();
    all.insert(all.end(), gradient.begin(), gradient.end());
    return all;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("attention matches softmax(q k^T) v for every size", "[attention]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  for (Index const head_size : {1, 2, 15, 16, 17, 64, 72, 128}) {
    check<float, TestType>({2, 33, 2, head_size});
#if !defined(DASHI_TEST_ONE_SCALAR)
    check<double, TestType>({1, 17, 1, head_size, 3});
#endif
  }
  for (Index const tokens : {1, 2, 11, 12, 13, 32, 64, 100}) {
    check<float, TestType>({1, tokens, 3, 8, 1});
#if !defined(DASHI_TEST_ONE_SCALAR)
    check<double, TestType>({2, tokens, 1, 5});
#endif
  }
  check<float, TestType>({1, 521, 1, 24});  // more than one block of queries
  check<float, TestType>({0, 16, 2, 8});
}

TEMPLATE_TEST_CASE("attention works at the sizes of real models", "[attention]",
                   Kokkos::DefaultExecutionSpace) {
  check<float, TestType>({1, 256, 2, 72});
#if !defined(DASHI_TEST_ONE_SCALAR)
  check<dashi::BFloat16, TestType>({2, 256, 1, 64});
  check<dashi::Float16, TestType>({1, 256, 1, 72, 8});
#endif
}

TEST_CASE("attention is right for every width of registers", "[attention]") {
  dashi::test::for_each_instruction_set([] {
    check<float, Kokkos::DefaultHostExecutionSpace>({1, 70, 2, 72});
    check<double, Kokkos::DefaultHostExecutionSpace>({1, 45, 1, 21});
    check<dashi::BFloat16, Kokkos::DefaultHostExecutionSpace>({1, 33, 1, 64});
  });
}

TEST_CASE("q, k and v may be columns of different matrices", "[attention]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  dashi::Context<Exec> ctx;
  Problem<float, Exec> fused({2, 19, 2, 24});
  fused.run(ctx);
  Problem<float, Exec> apart({2, 19, 2, 24});
  Index const width = fused.shape.width();
  Grid<float, Exec> q(38, width);
  Grid<float, Exec> k(38, width, 7);
  Grid<float, Exec> v(38, width, 1);
  for (Index i = 0; i < 38; ++i) {
    for (Index j = 0; j < width; ++j) {
      q.set(i, j, fused.qkv(i, j));
      k.set(i, j, fused.qkv(i, width + j));
      v.set(i, j, fused.qkv(i, 2 * width + j));
    }
  }
  for (auto* grid : {&q, &k, &v}) {
    grid->upload();
  }
  auto a = apart.forward();
  a.q = q.view();
  a.k = k.view();
  a.v = v.view();
  dashi::kernels::attention(ctx, a);
  auto b = apart.adjoint();
  b.q = q.view();
  b.k = k.view();
  b.v = v.view();
  dashi::kernels::attention_adjoint(ctx, b);
  ctx.fence();
  apart.download();
  CHECK(apart.out.values() == fused.out.values());
  CHECK(apart.d_qkv.values() == fused.d_qkv.values());
}

TEMPLATE_TEST_CASE("very large scores do not overflow", "[attention]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  check<float, TestType>({1, 40, 1, 16, 0, 30});
  Problem<float, TestType> p({1, 40, 1, 16, 0, 1e15});
  dashi::Context<TestType> ctx;
  p.run(ctx);
  Reference const expected(p.shape, p.qkv);
  Index bad = 0;
  for (Index i = 0; i < 40; ++i) {
    for (Index j = 0; j < 48; ++j) {
      bad += !std::isfinite(p.d_qkv(i, j));
    }
    for (Index j = 0; j < 16; ++j) {
      bad += !(std::abs(p.out(i, j) - expected(i, j)) <= 1e-5 * 1e15);
    }
  }
  CHECK(bad == 0);
}

#if !defined(DASHI_TEST_ONE_SCALAR)
TEMPLATE_TEST_CASE("the adjoint of attention matches finite differences", "[attention]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  for (bool const by_teams : {false, true}) {
    check_differences<TestType>({2, 5, 2, 3}, by_teams);
    check_differences<TestType>({1, 37, 1, 9}, by_teams);
    check_differences<TestType>({1, 1, 2, 4}, by_teams);
    check_differences<TestType>({1, 14, 1, 72}, by_teams);
    check_differences<TestType>({1, 3, 1, 128}, by_teams);
  }
}
#endif

TEST_CASE("attention has the same bits for any number of threads", "[attention]") {
  dashi::test::check_same_bits(ForwardAndAdjoint{});
}

TEST_CASE("attention leaves the gaps between rows alone and refuses what does not fit",
          "[attention]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  dashi::Context<Exec> ctx;
  Problem<float, Exec> p({2, 6, 2, 4});
  auto a = p.forward();
  if constexpr (dashi::kernels::runs_on_host<Exec>) {
    CHECK_THROWS_AS(dashi::kernels::attention(ctx, a), dashi::PreconditionError);  // no scratch
  }
  a.tokens = 5;
  CHECK_THROWS_AS(dashi::kernels::attention(ctx, a), dashi::PreconditionError);
  a = p.forward();
  a.heads = 3;
  CHECK_THROWS_AS(dashi::kernels::attention(ctx, a), dashi::PreconditionError);
  Problem<float, Exec> wide({1, 2, 1, 129});
  CHECK_THROWS_AS(dashi::kernels::attention(ctx, wide.forward()), dashi::PreconditionError);
}

}  // namespace attention_test
