// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Adjoints of adapter kernels against central differences of their forward kernels, in double.
#include "adapters_fixture.hpp"

#include <dashi/kernels/gated_svd_adjoint.hpp>
#include <dashi/kernels/low_rank.hpp>
#include <dashi/kernels/scale_bias.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstdint>

namespace finite_differences_test {

using namespace dashi;
using namespace dashi::test;

namespace {

using Exec = Default::Exec;
using Doubles = SpaceMatrix<double, Exec>;

/// gradient against (loss(at + h) - loss(at - h)) / 2h for each element of `at`, on which loss()
/// depends.
template <class Loss>
void check_gradient(Loss const& loss, HostMatrix& at, HostMatrix const& gradient) {
  constexpr double step = 1e-4;
  REQUIRE(at.values.size() == gradient.values.size());
  for (std::size_t i = 0; i < at.values.size(); ++i) {
    double const kept = at.values[i];
    at.values[i] = kept + step;
    double const above = loss();
    at.values[i] = kept - step;
    double const below = loss();
    at.values[i] = kept;
    CHECK(std::abs((above - below) / (2 * step) - gradient.values[i]) <= 1e-6);
  }
}

}  // namespace

TEST_CASE("gradients of gated layers are finite differences", "[gated_svd]") {
  Index const rows = 6, rank = 4;
  HostMatrix ut = random_matrix<double>(rank, 3, 1), vt = random_matrix<double>(rank, 5, 2);
  HostMatrix sigma = random_matrix<double>(1, rank, 3), gates = random_matrix<double>(2, rank, 4);
  HostMatrix x = random_matrix<double>(rows, 5, 5);
  HostMatrix const dy = random_matrix<double>(rows, 3, 6);
  Kokkos::View<std::int64_t*, Exec::memory_space> const labels("labels", 3);
  auto const host = Kokkos::create_mirror_view(labels);
  host(0) = 1;
  host(1) = 0;
  host(2) = 1;
  Kokkos::deep_copy(labels, host);
  Default::Ctx ctx;
  ctx.reserve_scratch(kernels::gated_adjoint_scratch<double, Exec>(3, 5, rank, rows, 2));
  auto const loss = [&] {
    Doubles const sut(ut), svt(vt), sgates(gates), sx(x), y(rows, 3);
    auto const ssigma = space_vector<double, Exec>(sigma);
    kernels::gated_apply<double>(ctx, {sut.view(), ssigma, svt.view()}, {sgates.view(), labels, 2},
                                 sx.view(), y.view());
    return inner_product(dy, y.get());
  };
  Doubles const sut(ut), svt(vt), sgates(gates), sx(x), sdy(dy);
  Doubles const dx(rows, 5), dut(rank, 3), dvt(rank, 5), dgates(2, rank);
  auto const ssigma = space_vector<double, Exec>(sigma);
  auto const dsigma = space_vector<double, Exec>(HostMatrix(1, rank));
  kernels::GatedGradients<double, Exec> g;
  g.dx = dx.view();
  g.dut = dut.view();
  g.dvt = dvt.view();
  g.dsigma = dsigma;
  g.dgates = dgates.view();
  kernels::gated_adjoint<double>(ctx, {sut.view(), ssigma, svt.view()}, {sgates.view(), labels, 2},
                                 sx.view(), sdy.view(), g);
  check_gradient(loss, x, dx.get());
  check_gradient(loss, ut, dut.get());
  check_gradient(loss, vt, dvt.get());
  check_gradient(loss, sigma, host_vector(dsigma));
  check_gradient(loss, gates, dgates.get());
}

TEST_CASE("gradients of low-rank updates are finite differences", "[adapters]") {
  HostMatrix a = random_matrix<double>(2, 5, 1), b = random_matrix<double>(3, 2, 2);
  HostMatrix x = random_matrix<double>(6, 5, 3);
  HostMatrix const dy = random_matrix<double>(6, 3, 4);
  Default::Ctx ctx;
  ctx.reserve_scratch(kernels::low_rank_adjoint_scratch<double, Exec>(6, 3, 5, 2));
  Doubles const z(6, 2);
  auto const loss = [&] {
    Doubles const sa(a), sb(b), sx(x), y(6, 3);
    kernels::low_rank_apply(ctx, 0.5, sa.view(), sb.view(), sx.view(), y.view(), z.view());
    return inner_product(dy, y.get());
  };
  loss();
  Doubles const sa(a), sb(b), sx(x), sdy(dy), dx(6, 5), da(2, 5), db(3, 2);
  kernels::LowRankGradients<double, Exec> g;
  g.dx = dx.view();
  g.da = da.view();
  g.db = db.view();
  kernels::low_rank_adjoint(ctx, 0.5, sa.view(), sb.view(), sx.view(), sdy.view(), g, z.view());
  check_gradient(loss, x, dx.get());
  check_gradient(loss, a, da.get());
  check_gradient(loss, b, db.get());
}

TEST_CASE("gradients of scale and bias are finite differences", "[adapters]") {
  HostMatrix gamma = random_matrix<double>(1, 4, 1), bias = random_matrix<double>(1, 4, 2);
  HostMatrix y = random_matrix<double>(40, 4, 3);
  HostMatrix const dy = random_matrix<double>(40, 4, 4);
  Default::Ctx ctx;
  ctx.reserve_scratch(kernels::scale_bias_adjoint_scratch<double, Exec>(40, 4));
  auto const loss = [&] {
    Doubles const sy(y);
    kernels::scale_bias<double>(ctx, space_vector<double, Exec>(gamma),
                                space_vector<double, Exec>(bias), sy.view());
    return inner_product(dy, sy.get());
  };
  Doubles const sy(y), sdy(dy);
  auto const dgamma = space_vector<double, Exec>(HostMatrix(1, 4));
  auto const dbias = space_vector<double, Exec>(HostMatrix(1, 4));
  kernels::scale_bias_adjoint<double>(ctx, space_vector<double, Exec>(gamma), sdy.view(), sy.view(),
                                      dgamma, dbias);
  check_gradient(loss, y, sdy.get());
  check_gradient(loss, gamma, host_vector(dgamma));
  check_gradient(loss, bias, host_vector(dbias));
}

}  // namespace finite_differences_test
