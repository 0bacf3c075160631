// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The same bits from Serial and from OpenMP on 1, 2 and 4 threads, by the portable provider.
#include "adapters_fixture.hpp"

#include <dashi/kernels/gated_svd_adjoint.hpp>
#include <dashi/kernels/kronecker_adjoint.hpp>
#include <dashi/kernels/low_rank.hpp>
#include <dashi/kernels/scale_bias.hpp>
#include <dashi/kernels/weighted_sum.hpp>

#include <support/test_scalars.hpp>

#include <catch2/catch_test_macros.hpp>

#include <vector>

namespace same_bits_test {

#if defined(KOKKOS_ENABLE_OPENMP) && defined(KOKKOS_ENABLE_SERIAL)

using namespace dashi;
using namespace dashi::test;
using kernels::AccumulatorOf;
using kernels::KroneckerPath;

namespace {

/// Everything that the kernels with sums of ours leave.
template <class T, class Exec>
std::vector<HostMatrix> results(Exec const& exec) {
  using Acc = AccumulatorOf<T>;
  Context<Exec, provider::Portable> ctx(exec);
  ctx.reserve_scratch(std::size_t{1} << 24);
  std::vector<HostMatrix> all;
  Index const rows = 300;
  Index const many = 1700;  // more than one thread takes at once
  kernels::KroneckerShape const s{3, 5, 20, 7};
  SpaceMatrix<T, Exec> const a(random_matrix<T>(s.m1, s.n1, 1)), b(random_matrix<T>(s.m2, s.n2, 2));
  SpaceMatrix<T, Exec> const many_x(random_matrix<T>(many, s.in(), 11));
  SpaceMatrix<T, Exec> const many_dy(random_matrix<T>(many, s.out(), 12));
  for (KroneckerPath const path : {KroneckerPath::a_first, KroneckerPath::b_first}) {
    SpaceMatrix<T, Exec> const y(many, s.out()), dx(many, s.in());
    SpaceMatrix<Acc, Exec> const da(s.m1, s.n1), db(s.m2, s.n2);
    kernels::kronecker_apply(ctx, path, 0.5, a.view(), b.view(), many_x.view(), y.view());
    kernels::KroneckerGradients<T, Exec> g;
    g.dx = dx.view();
    g.da = da.view();
    g.db = db.view();
    kernels::kronecker_adjoint(ctx, path, 0.5, a.view(), b.view(), many_x.view(), many_dy.view(),
                               g);
    for (HostMatrix const& m : {y.get(), dx.get(), da.get(), db.get()}) {
      all.push_back(m);
    }
  }

  SpaceMatrix<T, Exec> const x(random_matrix<T>(rows, s.in(), 3));
  SpaceMatrix<T, Exec> const dy(random_matrix<T>(rows, s.out(), 4));
  Index const rank = 45;
  SpaceMatrix<T, Exec> const ut(random_matrix<T>(rank, s.out(), 5));
  SpaceMatrix<T, Exec> const vt(random_matrix<T>(rank, s.in(), 6));
  SpaceMatrix<T, Exec> const gates(random_matrix<T>(3, rank, 7));
  auto const sigma = space_vector<T, Exec>(random_matrix<T>(1, rank, 8));
  SpaceMatrix<Acc, Exec> const dut(rank, s.out()), dvt(rank, s.in()), dgates(3, rank);
  auto const dsigma = space_vector<Acc, Exec>(HostMatrix(1, rank));
  SpaceMatrix<T, Exec> const gx(rows, s.in());
  kernels::GatedGradients<T, Exec> g;
  g.dx = gx.view();
  g.dut = dut.view();
  g.dvt = dvt.view();
  g.dsigma = dsigma;
  g.dgates = dgates.view();
  kernels::gated_adjoint<T>(ctx, {ut.view(), sigma, vt.view()}, {gates.view(), {}, 100}, x.view(),
                            dy.view(), g);
  for (HostMatrix const& m : {gx.get(), dut.get(), dvt.get(), dgates.get(), host_vector(dsigma)}) {
    all.push_back(m);
  }

  auto const gamma = space_vector<T, Exec>(random_matrix<T>(1, s.out(), 9));
  SpaceMatrix<T, Exec> const scaled(random_matrix<T>(rows, s.out(), 10));
  auto const dgamma = space_vector<Acc, Exec>(HostMatrix(1, s.out()));
  auto const dbias = space_vector<Acc, Exec>(HostMatrix(1, s.out()));
  kernels::scale_bias_adjoint<T>(ctx, gamma, scaled.view(), dy.view(), dgamma, dbias);
  for (HostMatrix const& m : {scaled.get(), host_vector(dgamma), host_vector(dbias)}) {
    all.push_back(m);
  }

  std::vector<Kokkos::View<T*, typename Exec::memory_space>> memory;
  std::vector<VectorOf<T const, Exec>> members;
  for (unsigned k = 0; k < 7; ++k) {
    memory.push_back(space_vector<T, Exec>(random_matrix<T>(1, 10007, k)));
    members.push_back(memory.back());
  }
  Kokkos::View<T*, typename Exec::memory_space> const out("out", 10007);
  kernels::weighted_sum<T, Exec>(ctx, std::vector<double>(7, 0.3), members, out);
  all.push_back(host_vector(out));
  return all;
}

template <class T>
void check_bits() {
  auto const expected = results<T>(Kokkos::Serial());
  for (int const threads : {1, 2, 4}) {
    CAPTURE(threads);
    auto const got = results<T>(Kokkos::OpenMP(threads));
    REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      CAPTURE(i);
      CHECK(same_bits(got[i], expected[i]));
    }
  }
}

}  // namespace

TEST_CASE("threads change no bit of adapter kernels", "[adapters]") {
  check_bits<float>();
#if !defined(DASHI_TEST_ONE_SCALAR)
  check_bits<double>();
  check_bits<BFloat16>();
#endif
}

#endif

}  // namespace same_bits_test
