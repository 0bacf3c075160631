// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/random_purpose.hpp>
#include <dashi/diffusion/noise.hpp>
#include <dashi/diffusion/numbered_noise.hpp>
#include <dashi/diffusion/philox_noise.hpp>
#include <dashi/diffusion/q_sample.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <type_traits>

#include "support/device_copy.hpp"
#include "support/test_scalars.hpp"
#include "unit/kernels_blocks/grid.hpp"

namespace noise_test {

namespace {

using namespace dashi::diffusion;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using dashi::BFloat16;
using dashi::Index;
using dashi::kernels::AccumulatorOf;
using dashi::test::Grid;
using dashi::test::roundoff;

constexpr dashi::RandomPlace place{dashi::random_purpose::noise, 12345678901, 70};

template <class T, class Exec>
void check_noise(Index samples, Index cols, Index gap) {
  Grid<T, Exec> out(samples, cols, gap);
  dashi::Context<Exec> ctx;
  fill_noise(ctx, 42, place, out.view());
  ctx.fence();
  out.download();
  Index different = 0;
  for (Index n = 0; n < samples; ++n) {
    auto at = place;
    at.sample += static_cast<std::uint32_t>(n);
    dashi::Philox const random(42, at);
    for (Index i = 0; i < cols; ++i) {
      T const expected = dashi::convert<T>(random.normal<float>(static_cast<std::uint64_t>(i)));
      different += out(n, i) == dashi::convert<double>(expected) ? 0 : 1;
    }
  }
  CHECK(different == 0);
}

template <class X, class E, class Out, class Exec>
void check_q_sample(std::vector<std::int64_t> const& steps, Index cols, Index gap) {
  Process const process;
  auto const samples = static_cast<Index>(steps.size());
  auto const x0 = Grid<X, Exec>::random(samples, cols, 1, 1, gap);
  auto const noise = Grid<E, Exec>::random(samples, cols, 2, 1, gap);
  auto const t = dashi::test::device_copy<Exec>(steps);
  Grid<Out, Exec> x_t(samples, cols, gap);
  dashi::Context<Exec> ctx;
  q_sample(ctx, process, x0.view(), t, noise.view(), x_t.view());
  ctx.fence();
  x_t.download();
  auto const expected = [&](Index n, Index i) {
    double const abar = process.alpha_cumprod(steps[static_cast<std::size_t>(n)]);
    return std::sqrt(abar) * x0(n, i) + std::sqrt(1 - abar) * noise(n, i);
  };
  double const u =
      roundoff<Out>() +
      3 * roundoff<std::common_type_t<AccumulatorOf<X>, AccumulatorOf<E>, AccumulatorOf<Out>>>();
  CHECK(dashi::test::relative_error(x_t, expected, samples, cols) <= u);
}

struct NoiseBits {
  template <class Exec, class Provider>
  std::vector<double> run(dashi::Context<Exec, Provider>& ctx) const {
    Grid<float, Exec> noise(5, 1031);
    Grid<float, Exec> x_t(5, 1031);
    auto const x0 = Grid<float, Exec>::random(5, 1031, 4);
    auto const t = dashi::test::device_copy<Exec>(std::vector<std::int64_t>{0, 9, 99, 500, 999});
    fill_noise(ctx, 7, place, noise.view());
    q_sample(ctx, Process(), x0.view(), t, noise.view(), x_t.view());
    ctx.fence();
    x_t.download();
    return x_t.values();
  }
};

}  // namespace

TEMPLATE_TEST_CASE("noise is the normals of its samples", "[noise]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  check_noise<float, TestType>(3, 1025, 2);
#if !defined(DASHI_TEST_ONE_SCALAR)
  check_noise<double, TestType>(2, 7, 0);
  check_noise<BFloat16, TestType>(2, 514, 1);
#endif
  check_noise<float, TestType>(0, 8, 0);
  check_noise<float, TestType>(2, 0, 0);
}

TEST_CASE("noise does not depend on the batch", "[noise]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  dashi::Context<Exec> ctx;
  Grid<float, Exec> whole(6, 33);
  Grid<float, Exec> listed(3, 33);
  fill_noise(ctx, 1, place, whole.view());
  auto const numbers = dashi::test::device_copy<Exec>(std::vector<std::int64_t>{75, 70, 72});
  fill_noise(ctx, 1, place, numbers, listed.view());
  ctx.fence();
  whole.download();
  listed.download();
  for (Index i = 0; i < 33; ++i) {
    CHECK(listed(0, i) == whole(5, i));
    CHECK(listed(1, i) == whole(0, i));
    CHECK(listed(2, i) == whole(2, i));
  }
}

TEST_CASE("noise by numbers is that of the samples in order", "[noise]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  dashi::Context<Exec> ctx;
  Grid<float, Exec> whole(6, 9);
  Grid<float, Exec> listed(3, 9);
  auto const numbers = dashi::test::device_copy<Exec>(std::vector<std::int64_t>{75, 70, 72});
  PhiloxNoise const in_order{11, 70};
  NumberedNoise<Exec> const by_number{11, numbers};
  auto const check = [&] {
    ctx.fence();
    whole.download();
    listed.download();
    for (Index i = 0; i < 9; ++i) {
      CHECK(listed(0, i) == whole(5, i));
      CHECK(listed(1, i) == whole(0, i));
      CHECK(listed(2, i) == whole(2, i));
    }
  };
  in_order.initial(ctx, whole.view());
  by_number.initial(ctx, listed.view());
  check();
  float const before = static_cast<float>(whole(0, 0));
  in_order.at_step(ctx, 3, whole.view());
  by_number.at_step(ctx, 3, listed.view());
  check();
  CHECK(static_cast<float>(whole(0, 0)) != before);
}

TEST_CASE("noise of samples past 2^32 is refused", "[noise]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  dashi::Context<Exec> ctx;
  Grid<float, Exec> out(2, 4);
  CHECK_THROWS_MATCHES(fill_noise(ctx, 1, {.sample = 0xffffffff}, out.view()),
                       dashi::PreconditionError,
                       MessageMatches(ContainsSubstring("numbered below 2^32")));
}

TEMPLATE_TEST_CASE("samples are noised each to its step", "[q_sample]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  std::vector<std::int64_t> const steps{0, 999, 500, 1};
  check_q_sample<float, float, float, TestType>(steps, 131, 3);
#if !defined(DASHI_TEST_ONE_SCALAR)
  check_q_sample<double, double, double, TestType>(steps, 4099, 0);
  check_q_sample<float, float, BFloat16, TestType>(steps, 64, 0);
  check_q_sample<BFloat16, BFloat16, BFloat16, TestType>(steps, 65, 1);
#endif
  check_q_sample<float, float, float, TestType>({}, 4, 0);
}

TEST_CASE("a step that the process lacks gives NaN", "[q_sample]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  auto const x0 = Grid<float, Exec>::random(2, 3, 1);
  auto const t = dashi::test::device_copy<Exec>(std::vector<std::int64_t>{1000, 2});
  Grid<float, Exec> x_t(2, 3);
  dashi::Context<Exec> ctx;
  q_sample(ctx, Process(), x0.view(), t, x0.view(), x_t.view());
  ctx.fence();
  x_t.download();
  CHECK(std::isnan(x_t(0, 2)));
  CHECK(std::isfinite(x_t(1, 2)));
}

TEST_CASE("noise and noised samples have the same bits on any number of threads", "[noise]") {
  dashi::test::check_same_bits(NoiseBits{});
}

}  // namespace noise_test
