// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "kronecker_reference.hpp"

#include <dashi/kernels/kronecker.hpp>
#include <dashi/kernels/kronecker_adjoint.hpp>

#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

namespace kronecker_test {

using namespace dashi;
using namespace dashi::test;
using kernels::KroneckerPath;
using kernels::KroneckerShape;

namespace {

constexpr KroneckerPath paths[] = {KroneckerPath::materialised, KroneckerPath::a_first,
                                   KroneckerPath::b_first};

struct Case {
  KroneckerShape shape;
  Index rows;
  Index gap;
};

Case const cases[] = {{{1, 1, 1, 1}, 1, 0},
                      {{3, 5, 7, 2}, 9, 0},
                      {{3, 5, 7, 2}, 9, 3},
                      {{8, 8, 18, 17}, 33, 1},
                      {{2, 9, 40, 5}, 70, 0},
                      {{11, 1, 1, 35}, 5, 0},
                      {{4, 3, 65, 130}, 19, 0},
                      {{5, 6, 3, 4}, 0, 0},
                      // several tiles of rows, by B first and by A first
                      {{1, 64, 128, 1}, 150, 0},
                      {{64, 1, 1, 128}, 150, 1},
                      // several tiles, on one thread a few rows at once
                      {{1, 16, 128, 1}, 700, 0},
                      {{16, 1, 1, 128}, 700, 1}};
Case const real_case{{8, 8, 144, 144}, 20, 0};

template <class W, class T>
void check_apply(Case const& c, KroneckerPath path, bool save) {
  using Exec = typename W::Exec;
  typename W::Ctx ctx;
  KroneckerShape const s = c.shape;
  HostMatrix const a = random_matrix<T>(s.m1, s.n1, 1);
  HostMatrix const b = random_matrix<T>(s.m2, s.n2, 2);
  HostMatrix const x = random_matrix<T>(c.rows, s.in(), 3);
  HostMatrix const y = random_matrix<T>(c.rows, s.out(), 4);
  SpaceMatrix<T, Exec> const da(a, c.gap), db(b, c.gap), dx(x, c.gap), dy(y, c.gap);
  SpaceMatrix<T, Exec> const saved(save ? c.rows : 0, s.between(path), c.gap);
  kernels::RowsOf<T, Exec> keep;
  if (save) {
    keep = saved.view();
  }
  ctx.reserve_scratch(kernels::kronecker_apply_scratch<T, Exec>(s, path, c.rows, save));
  kernels::kronecker_apply(ctx, path, 0.5, da.view(), db.view(), dx.view(), dy.view(), keep);
  HostMatrix const expected = sum(y, 0.5, product(x, transposed(kronecker_reference(a, b))));
  CHECK(distance(dy.get(), expected) <= bound<T>(s.n1 + s.n2 + s.in()));
}

template <class W, class T>
void check_adjoint(Case const& c, KroneckerPath path, bool save) {
  using Exec = typename W::Exec;
  using Acc = kernels::AccumulatorOf<T>;
  typename W::Ctx ctx;
  KroneckerShape const s = c.shape;
  double const scale = 0.5;
  HostMatrix const a = random_matrix<T>(s.m1, s.n1, 1);
  HostMatrix const b = random_matrix<T>(s.m2, s.n2, 2);
  HostMatrix const x = random_matrix<T>(c.rows, s.in(), 3);
  HostMatrix const dy = random_matrix<T>(c.rows, s.out(), 5);
  SpaceMatrix<T, Exec> const sa(a, c.gap), sb(b, c.gap), sx(x, c.gap), sdy(dy, c.gap);
  KroneckerPath const order = path == KroneckerPath::materialised ? s.cheaper_order() : path;
  SpaceMatrix<T, Exec> const saved(save ? c.rows : 0, s.between(order), c.gap);
  SpaceMatrix<T, Exec> const y(c.rows, s.out());
  kernels::RowsOf<T, Exec> keep;
  if (save) {
    keep = saved.view();
    ctx.reserve_scratch(kernels::kronecker_apply_scratch<T, Exec>(s, order, c.rows, true));
    kernels::kronecker_apply(ctx, order, scale, sa.view(), sb.view(), sx.view(), y.view(), keep);
  }
  HostMatrix const dx0 = random_matrix<T>(c.rows, s.in(), 6);
  HostMatrix const da0 = random_matrix<Acc>(s.m1, s.n1, 7);
  HostMatrix const db0 = random_matrix<Acc>(s.m2, s.n2, 8);
  ctx.reserve_scratch(kernels::kronecker_adjoint_scratch<T, Exec>(s, path, c.rows, save));
  KroneckerAdjointReference const expected = kronecker_adjoint_reference(scale, a, b, x, dy);
  for (int const add : {0, 1}) {
    SpaceMatrix<T, Exec> const dx(dx0, c.gap);
    SpaceMatrix<Acc, Exec> const da(da0, c.gap), db(db0, c.gap);
    kernels::KroneckerGradients<T, Exec> g;
    g.dx = dx.view();
    g.da = da.view();
    g.db = db.view();
    g.dx_beta = add;
    g.beta = add;
    kernels::kronecker_adjoint(ctx, path, scale, sa.view(), sb.view(), sx.view(), sdy.view(), g,
                               keep);
    CHECK(distance(dx.get(), sum(expected.dx, add, dx0)) <= bound<T>(s.out()));
    CHECK(distance(da.get(), sum(expected.da, add, da0)) <= bound<T>(s.n2 + c.rows * s.m2));
    CHECK(distance(db.get(), sum(expected.db, add, db0)) <= bound<T>(s.m1 + c.rows * s.n1));
  }
}

template <class W, class T>
void check_everything() {
  for (Case const& c : cases) {
    for (KroneckerPath const path : paths) {
      CAPTURE(c.shape.m1, c.shape.n1, c.shape.m2, c.shape.n2, c.rows, c.gap, name_of(path));
      check_apply<W, T>(c, path, false);
      check_adjoint<W, T>(c, path, false);
      if (path != KroneckerPath::materialised) {
        check_apply<W, T>(c, path, true);
      }
      check_adjoint<W, T>(c, path, true);
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("Kronecker products and adjoints are those of the formed matrix", "[kronecker]",
                   DASHI_TEST_SCALARS(Default, SerialPortable)) {
  dashi::test::for_each_scalar<float, double, BFloat16>(
      [&]<class T>() { check_everything<TestType, T>(); });
}

TEST_CASE("Kronecker products and adjoints of a real size", "[kronecker]") {
  for (KroneckerPath const path : paths) {
    check_apply<Default, float>(real_case, path, false);
    check_adjoint<Default, float>(real_case, path, path != KroneckerPath::materialised);
  }
}

#if !defined(DASHI_TEST_ONE_SCALAR)
TEST_CASE("Kronecker products in Float16 and by the portable provider", "[kronecker]") {
  check_everything<Default, Float16>();
  check_everything<Portable, float>();
}
#endif

}  // namespace kronecker_test
