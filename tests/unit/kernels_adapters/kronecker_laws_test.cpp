// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What must hold between the Kronecker kernels, whatever they compute with.
#include "kronecker_reference.hpp"

#include <dashi/kernels/kronecker.hpp>
#include <dashi/kernels/kronecker_adjoint.hpp>
#include <dashi/kernels/kronecker_linear.hpp>
#include <dashi/kernels/machine_ratio.hpp>

#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

namespace kronecker_laws_test {

using namespace dashi;
using namespace dashi::test;
using kernels::KroneckerPath;
using kernels::KroneckerShape;

namespace {

constexpr KroneckerPath paths[] = {KroneckerPath::materialised, KroneckerPath::a_first,
                                   KroneckerPath::b_first};

/// (scale A ⊗ B) x for the rows of x.
template <class W, class T>
HostMatrix apply(KroneckerPath path, double scale, HostMatrix const& a, HostMatrix const& b,
                 HostMatrix const& x) {
  using Exec = typename W::Exec;
  typename W::Ctx ctx;
  SpaceMatrix<T, Exec> const sa(a), sb(b), sx(x), y(x.rows, a.rows * b.rows);
  KroneckerShape const shape{a.rows, a.cols, b.rows, b.cols};
  ctx.reserve_scratch(kernels::kronecker_apply_scratch<T, Exec>(shape, path, x.rows));
  kernels::kronecker_apply(ctx, path, scale, sa.view(), sb.view(), sx.view(), y.view());
  return y.get();
}

template <class W, class T>
void check_fuse(KroneckerShape const& s, Index gap) {
  using Exec = typename W::Exec;
  typename W::Ctx ctx;
  HostMatrix const a = random_matrix<T>(s.m1, s.n1, 1), b = random_matrix<T>(s.m2, s.n2, 2);
  HostMatrix const w = random_matrix<T>(s.out(), s.in(), 3);
  SpaceMatrix<T, Exec> const sa(a, gap), sb(b, gap), sw(w, gap), merged(s.out(), s.in(), gap);
  kernels::kronecker_merge(ctx, 0.5, sa.view(), sb.view(), sw.view(), merged.view());
  CHECK(same_bits(sw.get(), w));
  kernels::kronecker_fuse(ctx, 0.5, sa.view(), sb.view(), sw.view());
  HostMatrix const fused = sw.get();
  CHECK(same_bits(fused, merged.get()));
  HostMatrix const expected = sum(w, 0.5, kronecker_reference(a, b));
  for (std::size_t i = 0; i < fused.values.size(); ++i) {
    // One rounding of each element, on top of those of the accumulator.
    double const size = std::abs(w.values[i]) + std::abs(expected.values[i] - w.values[i]);
    double const allowed =
        unit<T>() * std::abs(expected.values[i]) + 4 * unit<kernels::AccumulatorOf<T>>() * size;
    REQUIRE(std::abs(fused.values[i] - expected.values[i]) <= allowed);
  }
}

template <class W, class T>
void check_laws() {
  HostMatrix const a = random_matrix<T>(4, 3, 1), b = random_matrix<T>(5, 6, 2);
  HostMatrix const c = random_matrix<T>(3, 2, 3), d = random_matrix<T>(6, 7, 4);
  HostMatrix const x = random_matrix<T>(9, c.cols * d.cols, 5);
  HostMatrix const dy = random_matrix<T>(9, a.rows * b.rows, 6);
  HostMatrix const y = random_matrix<T>(9, a.cols * b.cols, 7);
  for (KroneckerPath const path : paths) {
    CAPTURE(name_of(path));
    // (A ⊗ B) (C ⊗ D) = A C ⊗ B D
    HostMatrix const one = apply<W, T>(path, 1, a, b, apply<W, T>(path, 1, c, d, x));
    CHECK(distance(one, product(x, transposed(kronecker_reference(
                                       product(a, c), product(b, d))))) <= 2 * bound<T>(80));
    // (A ⊗ B)' = A' ⊗ B', and <dy, K y> = <K' dy, y>
    HostMatrix const back = apply<W, T>(path, 1, transposed(a), transposed(b), dy);
    CHECK(distance(back, product(dy, kronecker_reference(a, b))) <= bound<T>(40));
    double const left = inner_product(dy, apply<W, T>(path, 1, a, b, y));
    double const right = inner_product(back, y);
    CHECK(std::abs(left - right) <= 1e3 * bound<T>(40));
  }
}

/// Value of L = Σ dy y through kronecker_apply in double.
double loss(HostMatrix const& a, HostMatrix const& b, HostMatrix const& x, HostMatrix const& dy) {
  return inner_product(dy, apply<Default, double>(KroneckerPath::b_first, 0.5, a, b, x));
}

void check_differences(HostMatrix const& gradient, HostMatrix& at, HostMatrix const& a,
                       HostMatrix const& b, HostMatrix const& x, HostMatrix const& dy) {
  constexpr double step = 1e-4;
  for (std::size_t i = 0; i < at.values.size(); i += 3) {
    double const kept = at.values[i];
    at.values[i] = kept + step;
    double const above = loss(a, b, x, dy);
    at.values[i] = kept - step;
    double const below = loss(a, b, x, dy);
    at.values[i] = kept;
    CHECK(std::abs((above - below) / (2 * step) - gradient.values[i]) <= 1e-7);
  }
}

/// `order`: that of dA and dB when backward is merged; otherwise it must not matter.
template <class W, class T>
void check_linear(KroneckerShape const& s, Index rows, KroneckerPath order) {
  using Exec = typename W::Exec;
  using Acc = kernels::AccumulatorOf<T>;
  typename W::Ctx ctx;
  HostMatrix const a = random_matrix<T>(s.m1, s.n1, 1), b = random_matrix<T>(s.m2, s.n2, 2);
  HostMatrix const w = random_matrix<T>(s.out(), s.in(), 3), x = random_matrix<T>(rows, s.in(), 4);
  HostMatrix const dy = random_matrix<T>(rows, s.out(), 5), bias = random_matrix<T>(1, s.out(), 6);
  SpaceMatrix<T, Exec> const sa(a), sb(b), sw(w), sx(x), sdy(dy), merged(s.out(), s.in());
  auto const sbias = space_vector<T, Exec>(bias);
  HostMatrix const whole = sum(w, 0.5, kronecker_reference(a, b));
  HostMatrix expected = product(x, transposed(whole));
  for (Index t = 0; t < rows; ++t) {
    for (Index j = 0; j < s.out(); ++j) {
      expected(t, j) += bias(0, j);
    }
  }
  KroneckerAdjointReference const adjoint = kronecker_adjoint_reference(0.5, a, b, x, dy);
  kernels::KroneckerUse use;
  use.rows = rows;
  for (KroneckerPath const forward : paths) {
    for (KroneckerPath const backward : paths) {
      CAPTURE(name_of(forward), name_of(backward), name_of(order));
      kernels::KroneckerPlan plan{s, use, {}};
      plan.forward = forward;
      plan.backward = backward;
      plan.order = order;
      kernels::KroneckerLinear<T, Exec> layer{sw.view(), sa.view(), sb.view(), 0.5, merged.view()};
      ctx.reserve_scratch(kernels::kronecker_linear_scratch<T, Exec>(plan));
      SpaceMatrix<T, Exec> const y(rows, s.out()), dx(rows, s.in());
      SpaceMatrix<T, Exec> const saved(plan.saves() ? rows : 0, s.between(plan.gradient_order()));
      SpaceMatrix<Acc, Exec> const da(s.m1, s.n1), db(s.m2, s.n2);
      kernels::RowsOf<T, Exec> keep;
      if (plan.saves()) {
        keep = saved.view();
      }
      if (plan.merges()) {
        kernels::update_merged<T>(ctx, layer);
      }
      kernels::kronecker_linear<T>(ctx, plan, layer, sx.view(), y.view(), keep, sbias);
      CHECK(distance(y.get(), expected) <= 2 * bound<T>(s.in() + s.n1 + s.n2));
      kernels::KroneckerGradients<T, Exec> g;
      g.dx = dx.view();
      g.da = da.view();
      g.db = db.view();
      kernels::kronecker_linear_adjoint<T>(ctx, plan, layer, sx.view(), sdy.view(), g, keep);
      CHECK(distance(dx.get(), product(dy, whole)) <= 2 * bound<T>(2 * s.out()));
      CHECK(distance(da.get(), adjoint.da) <= bound<T>(s.n2 + rows * s.m2));
      CHECK(distance(db.get(), adjoint.db) <= bound<T>(s.m1 + rows * s.n1));
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("fusing rounds each element once and merging gives the same bits", "[kronecker]",
                   DASHI_TEST_SCALARS(Default, SerialPortable)) {
  for (KroneckerShape const s : {KroneckerShape{1, 1, 1, 1}, KroneckerShape{3, 2, 5, 7},
                                 KroneckerShape{4, 4, 18, 72}, KroneckerShape{2, 3, 1, 33}}) {
    for (Index const gap : {0, 3}) {
      dashi::test::for_each_scalar<float, double, BFloat16, Float16>(
          [&]<class T>() { check_fuse<TestType, T>(s, gap); });
    }
  }
}

TEMPLATE_TEST_CASE("Kronecker products multiply, transpose and have adjoints", "[kronecker]",
                   DASHI_TEST_SCALARS(Default, SerialPortable)) {
  dashi::test::for_each_scalar<float, double, BFloat16>(
      [&]<class T>() { check_laws<TestType, T>(); });
}

TEST_CASE("Kronecker gradients are finite differences", "[kronecker]") {
  using Exec = Default::Exec;
  HostMatrix a = random_matrix<double>(3, 4, 1), b = random_matrix<double>(5, 2, 2);
  HostMatrix x = random_matrix<double>(6, 8, 3);
  HostMatrix const dy = random_matrix<double>(6, 15, 4);
  for (KroneckerPath const path : paths) {
    CAPTURE(name_of(path));
    Default::Ctx ctx;
    SpaceMatrix<double, Exec> const sa(a), sb(b), sx(x), sdy(dy), dx(6, 8), da(3, 4), db(5, 2);
    ctx.reserve_scratch(kernels::kronecker_adjoint_scratch<double, Exec>({3, 4, 5, 2}, path, 6));
    kernels::KroneckerGradients<double, Exec> g;
    g.dx = dx.view();
    g.da = da.view();
    g.db = db.view();
    kernels::kronecker_adjoint(ctx, path, 0.5, sa.view(), sb.view(), sx.view(), sdy.view(), g);
    check_differences(dx.get(), x, a, b, x, dy);
    check_differences(da.get(), a, a, b, x, dy);
    check_differences(db.get(), b, a, b, x, dy);
  }
}

TEMPLATE_TEST_CASE("every plan of an adapted layer gives the same layer", "[kronecker]",
                   DASHI_TEST_SCALARS(Default, SerialPortable)) {
  for (KroneckerPath const order : {KroneckerPath::a_first, KroneckerPath::b_first}) {
#if !defined(DASHI_TEST_ONE_SCALAR)
    check_linear<TestType, double>({3, 4, 5, 6}, 7, order);
#endif
    check_linear<TestType, float>({8, 4, 9, 16}, 30, order);
    // What lies between the steps has the same extents in both orders.
    check_linear<TestType, float>({4, 4, 6, 6}, 9, order);
#if !defined(DASHI_TEST_ONE_SCALAR)
    check_linear<TestType, BFloat16>({3, 4, 5, 6}, 7, order);
#endif
  }
}

TEST_CASE("a plan refuses `saved` that forward does not leave for the gradients", "[kronecker]") {
  using Exec = Default::Exec;
  Default::Ctx ctx;
  KroneckerShape const s{2, 2, 3, 3};
  SpaceMatrix<float, Exec> const a(2, 2), b(3, 3), w(6, 6), merged(6, 6), x(5, 6), y(5, 6);
  SpaceMatrix<float, Exec> const saved(5, 6), dx(5, 6);
  kernels::KroneckerLinear<float, Exec> const layer{w.view(), a.view(), b.view(), 1, merged.view()};
  kernels::KroneckerGradients<float, Exec> g;
  g.dx = dx.view();
  kernels::KroneckerUse use;
  use.rows = 5;
  for (KroneckerPath const forward : {KroneckerPath::materialised, KroneckerPath::b_first}) {
    kernels::KroneckerPlan plan{s, use, {}};
    plan.forward = forward;
    plan.backward = KroneckerPath::a_first;
    CHECK_FALSE(plan.saves());
    ctx.reserve_scratch(kernels::kronecker_linear_scratch<float, Exec>(plan));
    CHECK_THROWS_AS(
        kernels::kronecker_linear<float>(ctx, plan, layer, x.view(), y.view(), saved.view()),
        PreconditionError);
    CHECK_THROWS_AS(kernels::kronecker_linear_adjoint<float>(ctx, plan, layer, x.view(), y.view(),
                                                             g, saved.view()),
                    PreconditionError);
  }
}

TEST_CASE("an empty factor leaves the gradients' old values", "[kronecker]") {
  using Exec = Default::Exec;
  for (KroneckerShape const s : {KroneckerShape{3, 0, 2, 4}, KroneckerShape{0, 3, 2, 4},
                                 KroneckerShape{3, 2, 0, 4}, KroneckerShape{3, 2, 4, 0}}) {
    for (KroneckerPath const path : paths) {
      for (int const add : {0, 1}) {
        CAPTURE(s.m1, s.n1, s.m2, s.n2, name_of(path), add);
        Default::Ctx ctx;
        HostMatrix const dx0 = random_matrix<float>(5, s.in(), 1);
        HostMatrix const da0 = random_matrix<float>(s.m1, s.n1, 2);
        HostMatrix const db0 = random_matrix<float>(s.m2, s.n2, 3);
        SpaceMatrix<float, Exec> const a(s.m1, s.n1), b(s.m2, s.n2), x(5, s.in()), dy(5, s.out());
        SpaceMatrix<float, Exec> const dx(dx0), da(da0), db(db0);
        kernels::KroneckerGradients<float, Exec> g;
        g.dx = dx.view();
        g.da = da.view();
        g.db = db.view();
        g.dx_beta = add;
        g.beta = add;
        ctx.reserve_scratch(kernels::kronecker_adjoint_scratch<float, Exec>(s, path, 5));
        kernels::kronecker_adjoint(ctx, path, 0.5, a.view(), b.view(), x.view(), dy.view(), g);
        CHECK(distance(dx.get(), sum(HostMatrix(5, s.in()), add, dx0)) == 0);
        CHECK(distance(da.get(), sum(HostMatrix(s.m1, s.n1), add, da0)) == 0);
        CHECK(distance(db.get(), sum(HostMatrix(s.m2, s.n2), add, db0)) == 0);
      }
    }
  }
}

TEST_CASE("a plan takes the cheaper order and merges when merging is cheap", "[kronecker]") {
  kernels::KroneckerUse use;
  use.rows = 2048;
  kernels::MachineRatio ratio;
  // Costs of performance notes: 4608 x 1152 with A [16, 8] by B first, its transpose by A first.
  CHECK(KroneckerShape{16, 8, 288, 144}.cheaper_order() == KroneckerPath::b_first);
  CHECK(KroneckerShape{8, 16, 144, 288}.cheaper_order() == KroneckerPath::a_first);
  CHECK(KroneckerShape{4, 64, 320, 20}.cheaper_order() == KroneckerPath::a_first);
  KroneckerShape const square{8, 8, 144, 144};
  ratio.bytes_per_second = 1e18;
  CHECK(plan_kronecker(square, use, ratio).forward == KroneckerPath::materialised);
  CHECK(plan_kronecker(square, use, ratio).backward == KroneckerPath::materialised);
  ratio.bytes_per_second = 1;
  auto const factored = plan_kronecker(square, use, ratio);
  CHECK_FALSE(factored.merges());
  CHECK(factored.saves());
  // 2 T n1 m2 (n2 + m1) FLOP forward; Z, dB, dA and dx backward.
  double const product = 2.0 * 2048 * 8 * 144 * 144, mix = 2.0 * 2048 * 8 * 144 * 8;
  CHECK(factored.cost().product_flop == 3 * product);
  CHECK(factored.cost().mix_flop == 3 * mix);
  // With dA and dB in the other order nothing is saved, and half the way is computed again.
  auto mixed = factored;
  mixed.backward = KroneckerPath::a_first;
  CHECK_FALSE(mixed.saves());
  CHECK(mixed.cost().product_flop + mixed.cost().mix_flop ==
        mixed.forward_cost(mixed.forward).product_flop +
            mixed.forward_cost(mixed.forward).mix_flop +
            mixed.backward_cost(mixed.backward, true).product_flop +
            mixed.backward_cost(mixed.backward, true).mix_flop);
  ratio.bytes_per_second = 1e18;
  use.storage_bytes = 2;
  CHECK_FALSE(plan_kronecker(square, use, ratio).merges());
  use.merge_16_bit = true;
  CHECK(plan_kronecker(square, use, ratio).merges());
  CHECK(factored.describe().find("forward b_first") != std::string::npos);
}

TEST_CASE("a machine's ratio is measured", "[kronecker]") {
  Default::Ctx ctx;
  auto const ratio = kernels::measure_machine_ratio<float>(ctx);
  CHECK(ratio.product_flops > 0);
  CHECK(ratio.mix_flops > 0);
  CHECK(ratio.bytes_per_second > 0);
  CHECK(ratio.product_flops < 1e16);
}

TEST_CASE("extents of Kronecker products that do not match are named", "[kronecker]") {
  using Exec = Default::Exec;
  Default::Ctx ctx;
  SpaceMatrix<float, Exec> const a(2, 3), b(4, 5), x(7, 15), y(7, 9), w(8, 14);
  CHECK_THROWS_AS(kernels::kronecker_apply(ctx, KroneckerPath::b_first, 1, a.view(), b.view(),
                                           x.view(), y.view()),
                  PreconditionError);
  CHECK_THROWS_AS(kernels::kronecker_fuse(ctx, 1, a.view(), b.view(), w.view()), PreconditionError);
}

}  // namespace kronecker_laws_test
