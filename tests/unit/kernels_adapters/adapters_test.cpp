// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Scale-bias, low-rank and weighted sums against plain loops.
#include "adapters_fixture.hpp"

#include <dashi/kernels/low_rank.hpp>
#include <dashi/kernels/scale_bias.hpp>
#include <dashi/kernels/weighted_sum.hpp>

#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <vector>

namespace adapters_test {

using namespace dashi;
using namespace dashi::test;
using kernels::AccumulatorOf;

namespace {

template <class W, class T>
void check_scale_bias(Index rows, Index cols, Index gap, bool with_gamma, bool with_bias) {
  using Exec = typename W::Exec;
  using Acc = AccumulatorOf<T>;
  typename W::Ctx ctx;
  HostMatrix const gamma = random_matrix<T>(1, with_gamma ? cols : 0, 1);
  HostMatrix const bias = random_matrix<T>(1, with_bias ? cols : 0, 2);
  HostMatrix const y = random_matrix<T>(rows, cols, 3);
  HostMatrix const dy = random_matrix<T>(rows, cols, 4);
  auto const sg = space_vector<T, Exec>(gamma);
  auto const sb = space_vector<T, Exec>(bias);
  SpaceMatrix<T, Exec> const sy(y, gap), sdy(dy, gap), saved(rows, cols, gap);
  kernels::scale_bias<T>(ctx, sg, sb, sy.view(), saved.view());
  HostMatrix expected = y;
  HostMatrix expected_dy = dy;
  HostMatrix dgamma = random_matrix<Acc>(1, cols, 5);
  HostMatrix dbias = random_matrix<Acc>(1, cols, 6);
  auto const sdg = space_vector<Acc, Exec>(dgamma);
  auto const sdb = space_vector<Acc, Exec>(dbias);
  for (Index t = 0; t < rows; ++t) {
    for (Index j = 0; j < cols; ++j) {
      double const g = with_gamma ? gamma(0, j) : 1;
      expected(t, j) = y(t, j) * g + (with_bias ? bias(0, j) : 0);
      dgamma(0, j) += dy(t, j) * y(t, j);
      dbias(0, j) += dy(t, j);
      expected_dy(t, j) *= g;
    }
  }
  CHECK(distance(sy.get(), expected) <= bound<T>(1));
  CHECK(same_bits(saved.get(), y));
  ctx.reserve_scratch(kernels::scale_bias_adjoint_scratch<T, Exec>(rows, cols));
  kernels::scale_bias_adjoint<T>(ctx, sg, sdy.view(), saved.view(), sdg, sdb, 1);
  CHECK(distance(sdy.get(), expected_dy) <= bound<T>(1));
  CHECK(distance(host_vector(sdg), dgamma) <= bound<T>(rows));
  CHECK(distance(host_vector(sdb), dbias) <= bound<T>(rows));
}

template <class W, class T>
void check_low_rank(Index rows, Index m, Index n, Index rank, Index gap) {
  using Exec = typename W::Exec;
  using Acc = AccumulatorOf<T>;
  typename W::Ctx ctx;
  double const scale = 0.25;
  HostMatrix const a = random_matrix<T>(rank, n, 1), b = random_matrix<T>(m, rank, 2);
  HostMatrix const x = random_matrix<T>(rows, n, 3), y = random_matrix<T>(rows, m, 4);
  HostMatrix const dy = random_matrix<T>(rows, m, 5), dx0 = random_matrix<T>(rows, n, 6);
  HostMatrix const da0 = random_matrix<Acc>(rank, n, 7), db0 = random_matrix<Acc>(m, rank, 8);
  SpaceMatrix<T, Exec> const sa(a, gap), sb(b, gap), sx(x, gap), sy(y, gap), again(y, gap);
  SpaceMatrix<T, Exec> const sdy(dy, gap), sdx(dx0, gap), z(rows, rank, gap);
  SpaceMatrix<Acc, Exec> const sda(da0, gap), sdb(db0, gap);
  HostMatrix const w = product(b, a);
  HostMatrix const expected = sum(y, scale, product(x, transposed(w)));
  ctx.reserve_scratch(kernels::low_rank_apply_scratch<T, Exec>(rows, rank));
  kernels::low_rank_apply(ctx, scale, sa.view(), sb.view(), sx.view(), again.view());
  kernels::low_rank_apply(ctx, scale, sa.view(), sb.view(), sx.view(), sy.view(), z.view());
  CHECK(distance(again.get(), expected) <= bound<T>(n + rank));
  CHECK(distance(sy.get(), expected) <= bound<T>(n + rank));

  kernels::LowRankGradients<T, Exec> g;
  g.dx = sdx.view();
  g.da = sda.view();
  g.db = sdb.view();
  g.dx_beta = 1;
  g.beta = 1;
  ctx.reserve_scratch(kernels::low_rank_adjoint_scratch<T, Exec>(rows, m, n, rank));
  kernels::low_rank_adjoint(ctx, scale, sa.view(), sb.view(), sx.view(), sdy.view(), g, z.view());
  HostMatrix const dw = product(transposed(dy), x);
  CHECK(distance(sdx.get(), sum(dx0, scale, product(dy, w))) <= bound<T>(m + rank));
  CHECK(distance(sda.get(), sum(da0, scale, product(transposed(b), dw))) <= bound<T>(m + rows));
  CHECK(distance(sdb.get(), sum(db0, scale, product(dw, transposed(a)))) <= bound<T>(n + rows));

  HostMatrix const w0 = random_matrix<T>(m, n, 9);
  SpaceMatrix<T, Exec> const sw(w0, gap);
  kernels::low_rank_fuse(ctx, scale, sa.view(), sb.view(), sw.view());
  CHECK(distance(sw.get(), sum(w0, scale, w)) <= bound<T>(rank));
}

template <class W, class T>
void check_weighted_sum(std::size_t members, Index size) {
  using Exec = typename W::Exec;
  typename W::Ctx ctx;
  std::vector<double> weights;
  std::vector<Kokkos::View<T*, typename Exec::memory_space>> memory;
  std::vector<VectorOf<T const, Exec>> views;
  HostMatrix expected(1, size);
  for (std::size_t k = 0; k < members; ++k) {
    HostMatrix const values = random_matrix<T>(1, size, static_cast<unsigned>(k));
    weights.push_back(0.5 - 0.125 * static_cast<double>(k % 8));
    memory.push_back(space_vector<T, Exec>(values));
    views.push_back(memory.back());
    expected = sum(expected, weights.back(), values);
  }
  Kokkos::View<T*, typename Exec::memory_space> const out("out", static_cast<std::size_t>(size));
  ctx.reserve_scratch(kernels::weighted_sum_scratch<T, Exec>(members));
  kernels::weighted_sum<T, Exec>(ctx, weights, views, out);
  CHECK(distance(host_vector(out), expected) <= bound<T>(static_cast<Index>(members)));
}

template <class W, class T>
void check_type() {
  for (Index const cols : {1, 7, 33, 150}) {
    for (Index const rows : {0, 1, 31, 100}) {
      CAPTURE(rows, cols);
      check_scale_bias<W, T>(rows, cols, rows % 3, true, true);
      check_scale_bias<W, T>(rows, cols, 0, true, false);
      check_scale_bias<W, T>(rows, cols, 0, false, true);
      check_low_rank<W, T>(rows, cols, 2 * cols + 1, 1 + cols / 4, rows % 3);
    }
  }
  for (std::size_t const members : {0U, 1U, 2U, 9U, 70U}) {
    for (Index const size : {0, 1, 63, 4099}) {
      CAPTURE(members, size);
      check_weighted_sum<W, T>(members, size);
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("scale-bias, low rank and weighted sums are what plain loops give", "[adapters]",
                   DASHI_TEST_SCALARS(Default, SerialPortable)) {
  dashi::test::for_each_scalar<float, double, BFloat16, Float16>(
      [&]<class T>() { check_type<TestType, T>(); });
}

TEST_CASE("adapters name extents that do not match", "[adapters]") {
  using Exec = Default::Exec;
  Default::Ctx ctx;
  SpaceMatrix<float, Exec> const a(2, 5), b(4, 3), x(7, 5), y(7, 4);
  CHECK_THROWS_AS(kernels::low_rank_apply(ctx, 1, a.view(), b.view(), x.view(), y.view()),
                  PreconditionError);
  auto const gamma = space_vector<float, Exec>(HostMatrix(1, 3));
  CHECK_THROWS_AS(kernels::scale_bias<float>(ctx, gamma, {}, y.view()), PreconditionError);
}

}  // namespace adapters_test
