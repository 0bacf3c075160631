// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "adapters_fixture.hpp"

#include <dashi/kernels/gated_svd_factorise.hpp>
#include <dashi/kernels/gated_svd_materialise.hpp>

#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <limits>
#include <vector>

namespace gated_svd_factorise_test {

using namespace dashi;
using namespace dashi::test;

namespace {

template <class T, class Exec>
struct Factorised {
  using Matrix = Kokkos::View<T**, Kokkos::LayoutRight, typename Exec::memory_space>;
  Matrix w, ut, vt;
  Kokkos::View<T*, typename Exec::memory_space> sigma;

  Factorised(HostMatrix const& m, Index rank)
      : w("w", std::size_t(m.rows), std::size_t(m.cols)),
        ut("ut", std::size_t(rank), std::size_t(m.rows)),
        vt("vt", std::size_t(rank), std::size_t(m.cols)),
        sigma("sigma", std::size_t(rank)) {
    auto const host = Kokkos::create_mirror_view(w);
    for (Index i = 0; i < m.rows; ++i) {
      for (Index j = 0; j < m.cols; ++j) {
        host(std::size_t(i), std::size_t(j)) = convert<T>(m(i, j));
      }
    }
    Kokkos::deep_copy(w, host);
  }
  kernels::SvdTarget<T, Exec> target() const { return {w, ut, sigma, vt}; }
  kernels::SvdFactors<T, Exec> factors() const { return {ut, sigma, vt}; }
};

template <class W, class T>
void check_factorised() {
  using Exec = typename W::Exec;
  typename W::Ctx ctx;
  struct Shape {
    Index m, n, rank;
  };
  std::vector<Shape> const shapes{{1, 1, 1}, {9, 5, 5}, {5, 9, 5}, {40, 33, 33}, {12, 20, 4}};
  std::vector<HostMatrix> weights;
  std::vector<Factorised<T, Exec>> all;
  std::vector<kernels::SvdTarget<T, Exec>> targets;
  for (Shape const& s : shapes) {
    HostMatrix w = random_matrix<T>(s.m, s.n, 7);
    if (s.rank < std::min(s.m, s.n)) {  // of that rank, so that nothing is lost
      w = product(random_matrix<T>(s.m, s.rank, 8), random_matrix<T>(s.rank, s.n, 9));
    }
    weights.push_back(w);
    all.emplace_back(w, s.rank);
    targets.push_back(all.back().target());
  }
  kernels::gated_svd_factorise<T, Exec>(ctx, targets);
  for (std::size_t k = 0; k < all.size(); ++k) {
    HostMatrix const& w = weights[k];
    SpaceMatrix<T, Exec> const again(w.rows, w.cols);
    ctx.reserve_scratch(kernels::gated_materialise_scratch<T, Exec>(shapes[k].rank, w.cols));
    kernels::gated_materialise<T>(ctx, all[k].factors(), {}, again.view());
    CHECK(distance(again.get(), w) <= bound<T>(4 * (w.rows + w.cols)));
    HostMatrix const sigma = host_vector(all[k].sigma);
    for (Index j = 1; j < sigma.cols; ++j) {
      CHECK(sigma(0, j) <= sigma(0, j - 1));
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("factors of weights materialise to the weights", "[gated_svd]",
                   DASHI_TEST_SCALARS(Default, SerialPortable)) {
  dashi::test::for_each_scalar<float, double>([&]<class T>() { check_factorised<TestType, T>(); });
}

TEST_CASE("a weight with NaN or of too large a rank is refused", "[gated_svd]") {
  using Exec = Default::Exec;
  Default::Ctx ctx;
  HostMatrix w = random_matrix<float>(4, 6, 1);
  w(2, 3) = std::numeric_limits<double>::quiet_NaN();
  Factorised<float, Exec> const with_nan(w, 4);
  Factorised<float, Exec> const too_large(random_matrix<float>(4, 6, 1), 5);
  std::vector<kernels::SvdTarget<float, Exec>> targets{with_nan.target()};
  CHECK_THROWS_AS((kernels::gated_svd_factorise<float, Exec>(ctx, targets)), ConvergenceError);
  targets = {too_large.target()};
  CHECK_THROWS_AS((kernels::gated_svd_factorise<float, Exec>(ctx, targets)), PreconditionError);
}

}  // namespace gated_svd_factorise_test
