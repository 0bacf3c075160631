// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/layer_norm_modulate.hpp>

#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include <functional>

#include "grid.hpp"

namespace layer_norm_modulate_test {

namespace {

using dashi::Index;
using dashi::kernels::AccumulatorOf;
using dashi::test::Grid;
using dashi::test::relative_error;
using dashi::test::roundoff;

/// Which of the optional parts a case has.
struct Parts {
  bool branch = true;
  bool gate = true;
  bool modulation = true;
};

/// The equations, in double, on whole problems.
struct Reference {
  Index rows_per_sample;
  Parts parts;
  double epsilon = 1e-6;
  using Matrix = std::function<double(Index, Index)>;

  template <class X, class Branch, class Gate>
  double h(X const& x, Branch const& branch, Gate const& gate, Index i, Index j) const {
    double const g = parts.gate ? gate(i / rows_per_sample, j) : 1.0;
    return x(i, j) + (parts.branch ? g * branch(i, j) : 0.0);
  }

  /// y of one row from the row of h.
  template <class Scale, class Shift>
  std::vector<double> y(std::vector<double> const& h, Scale const& scale, Shift const& shift,
                        Index sample) const {
    double mean = 0;
    for (double const v : h) {
      mean += v / static_cast<double>(h.size());
    }
    double variance = 0;
    for (double const v : h) {
      variance += (v - mean) * (v - mean) / static_cast<double>(h.size());
    }
    std::vector<double> out(h.size());
    for (std::size_t j = 0; j < h.size(); ++j) {
      auto const c = static_cast<Index>(j);
      out[j] = (h[j] - mean) / std::sqrt(variance + epsilon);
      if (parts.modulation) {
        out[j] = out[j] * (1 + scale(sample, c)) + shift(sample, c);
      }
    }
    return out;
  }
};

template <class T, class Exec>
struct Problem {
  Index samples, rows_per_sample, cols, gap;
  Parts parts;
  Index rows = samples * rows_per_sample;
  Grid<T, Exec> x = Grid<T, Exec>::random(rows, cols, 1, 2, gap);
  Grid<T, Exec> branch = Grid<T, Exec>::random(rows, cols, 2, 1, gap);
  Grid<T, Exec> modulation = Grid<T, Exec>::random(samples, 3 * cols, 3, 0.5, gap);
  Grid<T, Exec> sum{rows, cols, gap};
  Grid<T, Exec> y{rows, cols, gap};
  Grid<AccumulatorOf<T>, Exec> mean{1, rows};
  Grid<AccumulatorOf<T>, Exec> reciprocal_deviation{1, rows};

  double gate(Index s, Index j) const { return modulation(s, j); }
  double scale(Index s, Index j) const { return modulation(s, cols + j); }
  double shift(Index s, Index j) const { return modulation(s, 2 * cols + j); }

  dashi::kernels::RowsOf<T const, Exec> third(Index which, bool wanted) const {
    return wanted ? modulation.input().columns(which * cols, cols)
                  : dashi::kernels::RowsOf<T const, Exec>();
  }

  dashi::kernels::LayerNormModulate<T, Exec> forward() const {
    dashi::kernels::LayerNormModulate<T, Exec> a;
    a.x = x.view();
    if (parts.branch) {
      a.branch = branch.view();
      a.sum = sum.view();
    }
    a.gate = third(0, parts.gate && parts.branch);
    a.scale = third(1, parts.modulation);
    a.shift = third(2, parts.modulation);
    a.y = y.view();
    a.mean = mean.vector();
    a.reciprocal_deviation = reciprocal_deviation.vector();
    a.rows_per_sample = rows_per_sample;
    return a;
  }
};

template <class T, class Exec, class Launch>
void check_forward(Problem<T, Exec> p, Launch const& launch) {
  launch(p.forward());
  Kokkos::fence();
  for (auto* grid : {&p.sum, &p.y}) {
    grid->download();
  }
  Reference const reference{p.rows_per_sample, p.parts};
  auto const gate = [&](Index s, Index j) { return p.gate(s, j); };
  auto const h = [&](Index i, Index j) { return reference.h(p.x, p.branch, gate, i, j); };
  if (p.parts.branch) {
    CHECK(relative_error(p.sum, h, p.rows, p.cols) <= 2 * roundoff<T>());
  }
  std::vector<double> expected;
  for (Index i = 0; i < p.rows; ++i) {
    std::vector<double> row;
    for (Index j = 0; j < p.cols; ++j) {
      row.push_back(p.parts.branch ? p.sum(i, j) : p.x(i, j));
    }
    auto const y = reference.y(
        row, [&](Index s, Index j) { return p.scale(s, j); },
        [&](Index s, Index j) { return p.shift(s, j); }, i / p.rows_per_sample);
    expected.insert(expected.end(), y.begin(), y.end());
  }
  auto const at = [&](Index i, Index j) {
    return expected[static_cast<std::size_t>(i * p.cols + j)];
  };
  // A row of two equal numbers divides by the root of epsilon: growth of a thousand.
  double const growth = p.cols < 4 ? 4000 : 20;
  CHECK(relative_error(p.y, at, p.rows, p.cols, 1.0) <= growth * roundoff<T>());
}

template <class T, class Exec>
void check_forward_everywhere(Index samples, Index rows, Index cols, Index gap, Parts parts) {
  dashi::Context<Exec, dashi::provider::Portable> ctx;
  check_forward(Problem<T, Exec>{samples, rows, cols, gap, parts},
                [&](auto const& a) { dashi::kernels::layer_norm_modulate(ctx, a); });
  check_forward(Problem<T, Exec>{samples, rows, cols, gap, parts}, [&](auto const& a) {
    dashi::kernels::detail::layer_norm_modulate_by_teams(ctx.exec(), a);
  });
}

template <class T, class Exec>
struct Gradients {
  Grid<T, Exec> dy, other, d_sum, d_branch, d_modulation;
  explicit Gradients(Problem<T, Exec> const& p)
      : dy(Grid<T, Exec>::random(p.rows, p.cols, 11, 1, p.gap)),
        other(Grid<T, Exec>::random(p.rows, p.cols, 12, 1, p.gap)),
        d_sum(p.rows, p.cols, p.gap),
        d_branch(p.rows, p.cols, p.gap),
        d_modulation(p.samples, 3 * p.cols, p.gap) {}

  dashi::kernels::LayerNormModulateAdjoint<T, Exec> arguments(Problem<T, Exec> const& p) const {
    dashi::kernels::LayerNormModulateAdjoint<T, Exec> a;
    auto const forward = p.forward();
    a.dy = dy.view();
    a.sum = p.parts.branch ? p.sum.view() : p.x.view();
    a.branch = forward.branch;
    a.gate = forward.gate;
    a.scale = forward.scale;
    a.other_d_sum = other.view();
    a.d_sum = d_sum.view();
    if (p.parts.branch) {
      a.d_branch = d_branch.view();
      if (p.parts.gate) {
        a.d_gate = d_modulation.all().columns(0, p.cols);
      }
    }
    if (p.parts.modulation) {
      a.d_scale = d_modulation.all().columns(p.cols, p.cols);
      a.d_shift = d_modulation.all().columns(2 * p.cols, p.cols);
    }
    a.mean = forward.mean;
    a.reciprocal_deviation = forward.reciprocal_deviation;
    a.rows_per_sample = p.rows_per_sample;
    return a;
  }

  void download() {
    for (auto* grid : {&d_sum, &d_branch, &d_modulation}) {
      grid->download();
    }
  }
};

template <class T, class Exec>
Gradients<T, Exec> gradients(Problem<T, Exec>& p, bool by_teams = false) {
  dashi::Context<Exec> ctx;
  ctx.reserve_scratch(
      dashi::kernels::layer_norm_modulate_scratch_bytes<T>(p.samples, p.rows_per_sample, p.cols));
  Gradients<T, Exec> g(p);
  dashi::kernels::layer_norm_modulate(ctx, p.forward());
  auto const a = g.arguments(p);
  if (by_teams) {
    Index const blocks = p.samples * dashi::kernels::detail::norm_blocks(p.rows_per_sample);
    Grid<AccumulatorOf<T>, Exec> partial(blocks, 3 * p.cols);
    dashi::kernels::detail::layer_norm_modulate_adjoint_by_teams(ctx.exec(), a, partial.all());
    dashi::kernels::detail::sum_norm_partials(ctx.exec(), ctx.scratch(), a, partial.all());
    ctx.fence();
  } else {
    dashi::kernels::layer_norm_modulate_adjoint(ctx, a);
  }
  ctx.fence();
  g.download();
  p.sum.download();
  p.y.download();
  return g;
}

/// The loss whose gradients the adjoint must give: <dy, y> + <other, h>, in double.
template <class Exec>
double loss(Problem<double, Exec> const& p, Gradients<double, Exec> const& g) {
  Reference const reference{p.rows_per_sample, p.parts};
  double total = 0;
  for (Index i = 0; i < p.rows; ++i) {
    std::vector<double> h;
    for (Index j = 0; j < p.cols; ++j) {
      h.push_back(reference.h(
          p.x, p.branch, [&](Index s, Index c) { return p.gate(s, c); }, i, j));
      total += g.other(i, j) * h.back();
    }
    auto const y = reference.y(
        h, [&](Index s, Index c) { return p.scale(s, c); },
        [&](Index s, Index c) { return p.shift(s, c); }, i / p.rows_per_sample);
    for (Index j = 0; j < p.cols; ++j) {
      total += g.dy(i, j) * y[static_cast<std::size_t>(j)];
    }
  }
  return total;
}

/// Compares every tenth or so derivative with a central difference.
template <class Exec>
void check_differences(Problem<double, Exec>& p, Gradients<double, Exec> const& g,
                       Grid<double, Exec>& variable, Grid<double, Exec> const& gradient,
                       Index first = 0) {
  double const step = 1e-5;
  for (Index n = first; n < variable.rows() * variable.cols(); n += 7) {
    Index const i = n / variable.cols();
    Index const j = n % variable.cols();
    double const value = variable(i, j);
    variable.set(i, j, value + step);
    double const above = loss(p, g);
    variable.set(i, j, value - step);
    double const below = loss(p, g);
    variable.set(i, j, value);
    double const expected = (above - below) / (2 * step);
    CHECK(std::abs(gradient(i, j) - expected) < 1e-6 * (1 + std::abs(expected)));
  }
}

template <class Exec>
void check_adjoint(Index samples, Index rows, Index cols, Index gap, Parts parts, bool by_teams) {
  Problem<double, Exec> p{samples, rows, cols, gap, parts};
  auto const g = gradients(p, by_teams);
  check_differences(p, g, p.x, g.d_sum);
  if (parts.branch) {
    check_differences(p, g, p.branch, g.d_branch);
  }
  if (parts.modulation && parts.gate && parts.branch) {
    check_differences(p, g, p.modulation, g.d_modulation);
  } else if (parts.modulation) {
    CHECK(samples == 1);
    check_differences(p, g, p.modulation, g.d_modulation, cols);
  }
}

/// Adjoints in T against the same in double on the same numbers.
template <class T, class Exec>
void check_precision(Index samples, Index rows, Index cols, bool by_teams) {
  Problem<T, Exec> p{samples, rows, cols, 0, Parts{}};
  auto const actual = gradients(p, by_teams);
  Problem<double, Exec> exact{samples, rows, cols, 0, Parts{}};
  auto const copy = [](auto const& from, auto& to) {
    for (Index i = 0; i < from.rows(); ++i) {
      for (Index j = 0; j < from.cols(); ++j) {
        to.set(i, j, from(i, j));
      }
    }
    to.upload();
  };
  // The rounded h is what was normalised: let the exact problem have it as its input.
  copy(p.sum, exact.x);
  copy(p.branch, exact.branch);
  copy(p.modulation, exact.modulation);
  exact.parts = {.branch = false, .gate = false, .modulation = true};
  Gradients<double, Exec> expected(exact);
  copy(actual.dy, expected.dy);
  copy(actual.other, expected.other);
  dashi::Context<Exec> ctx;
  ctx.reserve_scratch(
      dashi::kernels::layer_norm_modulate_scratch_bytes<double>(samples, rows, cols));
  dashi::kernels::layer_norm_modulate(ctx, exact.forward());
  auto a = expected.arguments(exact);
  a.branch = exact.branch.view();
  a.gate = exact.third(0, true);
  a.d_branch = expected.d_branch.view();
  a.d_gate = expected.d_modulation.all().columns(0, cols);
  dashi::kernels::layer_norm_modulate_adjoint(ctx, a);
  ctx.fence();
  expected.download();
  double const bound = 8 * roundoff<T>();
  CHECK(relative_error(actual.d_sum, expected.d_sum, exact.rows, cols) < bound);
  CHECK(relative_error(actual.d_branch, expected.d_branch, exact.rows, cols) < bound);
  CHECK(relative_error(actual.d_modulation, expected.d_modulation, samples, 3 * cols) < bound);
}

struct AllOfIt {
  template <class Exec>
  std::vector<double> run(dashi::Context<Exec>& ctx) const {
    Problem<float, Exec> p{3, 77, 130, 0, Parts{}};
    ctx.reserve_scratch(dashi::kernels::layer_norm_modulate_scratch_bytes<float>(3, 77, 130));
    Gradients<float, Exec> g(p);
    dashi::kernels::layer_norm_modulate(ctx, p.forward());
    dashi::kernels::layer_norm_modulate_adjoint(ctx, g.arguments(p));
    ctx.fence();
    g.download();
    p.y.download();
    std::vector<double> all = p.y.values();
    for (auto const* grid : {&g.d_sum, &g.d_branch, &g.d_modulation}) {
      auto const values = grid->values();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }
};

constexpr Parts all_parts[] = {{true, true, true},
                               {true, false, true},
                               {false, false, true},
                               {false, false, false},
                               {true, true, false}};

}  // namespace

TEMPLATE_TEST_CASE("layer norm, modulation and gated residual match the equations", "[layer_norm]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  for (Parts const parts : all_parts) {
    for (Index const cols : {1, 2, 64, 97}) {
#if !defined(DASHI_TEST_ONE_SCALAR)
      check_forward_everywhere<double, TestType>(2, 3, cols, 5, parts);
#endif
      check_forward_everywhere<float, TestType>(2, 3, cols, 0, parts);
    }
    check_forward_everywhere<float, TestType>(2, 16, 1152, 0, parts);
#if !defined(DASHI_TEST_ONE_SCALAR)
    check_forward_everywhere<dashi::BFloat16, TestType>(3, 1, 384, 2, parts);
    check_forward_everywhere<dashi::Float16, TestType>(1, 5, 65, 2, parts);
#endif
  }
  check_forward_everywhere<float, TestType>(0, 4, 10, 0, Parts{});
}

#if !defined(DASHI_TEST_ONE_SCALAR)
TEMPLATE_TEST_CASE("the adjoint of layer norm matches finite differences", "[layer_norm]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  for (bool const by_teams : {false, true}) {
    check_adjoint<TestType>(2, 3, 11, 3, Parts{}, by_teams);
    check_adjoint<TestType>(2, 35, 5, 0, Parts{}, by_teams);
    check_adjoint<TestType>(1, 4, 70, 0, {true, false, true}, by_teams);
    check_adjoint<TestType>(1, 4, 9, 0, {false, false, true}, by_teams);
    check_adjoint<TestType>(2, 2, 9, 1, {false, false, false}, by_teams);
  }
}
#endif

TEMPLATE_TEST_CASE("the adjoint of layer norm keeps the digits of its type", "[layer_norm]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  for (bool const by_teams : {false, true}) {
    check_precision<float, TestType>(2, 100, 384, by_teams);
#if !defined(DASHI_TEST_ONE_SCALAR)
    check_precision<dashi::BFloat16, TestType>(2, 33, 129, by_teams);
    check_precision<dashi::Float16, TestType>(1, 64, 64, by_teams);
#endif
  }
}

TEST_CASE("layer norm has the same bits for every width of registers with multiply-add",
          "[layer_norm]") {
#if defined(__FMA__)
  dashi::Context<Kokkos::DefaultHostExecutionSpace> ctx;
  std::vector<std::vector<double>> results;
  dashi::test::for_each_instruction_set([&] { results.push_back(AllOfIt{}.run(ctx)); });
  for (auto const& result : results) {
    CHECK(result == results.front());
  }
#else
  SKIP("compiled for a processor without fused multiply-add");
#endif
}

TEST_CASE("layer norm has the same bits for any number of threads", "[layer_norm]") {
  dashi::test::check_same_bits(AllOfIt{});
}

TEST_CASE("layer norm refuses extents that do not match", "[layer_norm]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  dashi::Context<Exec> ctx;
  Problem<float, Exec> const p{2, 3, 8, 0, Parts{}};
  Grid<float, Exec> const wrong(6, 7);
  auto a = p.forward();
  a.branch = wrong.view();
  CHECK_THROWS_AS(dashi::kernels::layer_norm_modulate(ctx, a), dashi::PreconditionError);
  a = p.forward();
  a.rows_per_sample = 4;
  CHECK_THROWS_AS(dashi::kernels::layer_norm_modulate(ctx, a), dashi::PreconditionError);
}

}  // namespace layer_norm_modulate_test
