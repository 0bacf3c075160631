// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/diffusion/reconstruction_probe.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "support/device_copy.hpp"
#include "support/test_scalars.hpp"
#include "unit/kernels_blocks/grid.hpp"

namespace reconstruction_probe_test {

namespace {

using namespace dashi::diffusion;
using dashi::Index;
using dashi::test::device_copy;
using dashi::test::Grid;

/// Predicts label * x + t / 1000; v = -1 where there is one.
struct LinearNet {
  template <class T, class Exec, class Provider>
  void operator()(dashi::Context<Exec, Provider>& ctx, dashi::MatrixOf<T const, Exec> x,
                  dashi::VectorOf<double const, Exec> t,
                  dashi::VectorOf<std::int64_t const, Exec> labels,
                  dashi::MatrixOf<T, Exec> out) const {
    auto const size = static_cast<Index>(x.extent(1));
    bool const learned = out.extent(1) > x.extent(1);
    Kokkos::parallel_for(
        "linear net",
        Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(ctx.exec(), 0,
                                                            static_cast<Index>(x.extent(0)) * size),
        KOKKOS_LAMBDA(Index task) {
          Index const n = task / size;
          Index const i = task - n * size;
          out(n, i) = static_cast<T>(static_cast<double>(labels(n)) * x(n, i) + t(n) / 1000.0);
          if (learned) {
            out(n, size + i) = T(-1);
          }
        });
  }
};

template <class Exec>
struct Images {
  Index samples;
  Index size;
  Grid<double, Exec> x0 = Grid<double, Exec>::random(samples, size, 5);

  std::vector<ProbePoint> measure(std::vector<Index> const& batches, bool learned) const {
    dashi::Context<Exec> ctx;
    ReconstructionProbe probe(3, {20, 980});
    Index first = 0;
    for (Index const batch : batches) {
      dashi::Arena measuring;
      ProbeWorkspace<double, Exec> const measured(measuring, batch, size, learned);
      ctx.reserve_scratch(measuring.peak());
      dashi::Frame const frame(ctx.scratch());
      ProbeWorkspace<double, Exec> const workspace(ctx.scratch(), batch, size, learned);
      std::vector<std::int64_t> classes;
      std::vector<std::int64_t> numbers;
      for (Index n = first; n < first + batch; ++n) {
        classes.push_back(n % 3);
        numbers.push_back(n);
      }
      auto const labels = device_copy<Exec>(classes);
      probe.add(ctx, LinearNet{}, Process(),
                dashi::MatrixOf<double const, Exec>(x0.view().data() + first * size,
                                                    static_cast<std::size_t>(batch),
                                                    static_cast<std::size_t>(size)),
                labels, numbers, workspace);
      first += batch;
    }
    CHECK(probe.samples() == samples);
    return probe.points();
  }
};

template <class Exec>
void check_curve() {
  Images<Exec> const images{7, 30};
  auto const points = images.measure({7}, false);
  REQUIRE(points.size() == 2);
  Process const process;
  for (ProbePoint const& point : points) {
    double sum = 0;
    for (Index n = 0; n < 7; ++n) {
      dashi::Philox const random(
          3, {dashi::random_purpose::evaluation, static_cast<std::uint64_t>(point.step),
              static_cast<std::uint32_t>(n)});
      double const abar = process.alpha_cumprod(point.step);
      for (Index i = 0; i < 30; ++i) {
        double const noise = random.normal<float>(static_cast<std::uint64_t>(i));
        double const x_t = std::sqrt(abar) * images.x0(n, i) + std::sqrt(1 - abar) * noise;
        double const predicted =
            static_cast<double>(n % 3) * x_t + static_cast<double>(point.step) / 1000;
        sum += (predicted - noise) * (predicted - noise) / 30;
      }
    }
    INFO("step " << point.step);
    CHECK(std::abs(point.mse - sum / 7) <= 100 * dashi::test::roundoff<double>() * point.mse);
    CHECK(point.vb == 0);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("a probe is the mean error of predicted noise by step", "[probe]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  check_curve<TestType>();
}

TEST_CASE("a probe does not depend on how images are cut into batches", "[probe]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  Images<Exec> const images{7, 30};
  auto const whole = images.measure({7}, true);
  auto const cut = images.measure({3, 1, 3}, true);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    CHECK(whole[i].mse == cut[i].mse);
    CHECK(whole[i].vb == cut[i].vb);
    CHECK(whole[i].vb > 0);
  }
}

TEST_CASE("a probe looks at 25 steps unless told others", "[probe]") {
  auto const steps = ReconstructionProbe::usual_steps();
  CHECK(steps.size() == 25);
  CHECK(steps.front() == 20);
  CHECK(steps.back() == 980);
  CHECK_THROWS_AS(ReconstructionProbe().points(), dashi::PreconditionError);
}

}  // namespace reconstruction_probe_test
