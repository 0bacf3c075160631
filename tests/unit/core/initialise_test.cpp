// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/initialise.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace dashi;

template <class P, class Exec>
std::vector<double> values(Parameter<P, Exec> const& parameter) {
  std::vector<double> read(static_cast<std::size_t>(parameter.size()));
  parameter.read(std::span<double>(read));
  return read;
}

template <class P, class Exec>
std::vector<double> drawn(std::string const& name, Initial initial, std::uint64_t seed, Index rows,
                          bool trained = false, ParameterKind kind = ParameterKind::weight) {
  Context<Exec> ctx;
  ParameterList<P, Exec> list;
  Parameter<P, Exec> const parameter("p", rows, 64);
  list.add(name, parameter, kind, true, initial);
  parameter.train(trained);
  initialise(ctx, list, seed);
  ctx.fence();
  return values(parameter);
}

using Default = Kokkos::DefaultExecutionSpace;
using F32 = precision::Float32;

struct Moments {
  double mean = 0, deviation = 0, largest = 0;
};
Moments moments(std::vector<double> const& v) {
  Moments m;
  for (double const x : v) {
    m.mean += x / static_cast<double>(v.size());
    m.largest = std::max(m.largest, std::fabs(x));
  }
  for (double const x : v) {
    m.deviation += (x - m.mean) * (x - m.mean) / static_cast<double>(v.size());
  }
  m.deviation = std::sqrt(m.deviation);
  return m;
}

}  // namespace

TEMPLATE_TEST_CASE("parameters are drawn from their distributions", "[initialise]",
                   precision::Float32, precision::Float64, precision::Bf16Mixed) {
  // 65536 draws: the mean is within 5 of its deviations, sd / 256; the deviation within 2 %.
  auto const normal = moments(drawn<TestType, Default>("n", Initial::normal(0.5), 1, 1024));
  CHECK(std::fabs(normal.mean) < 5 * 0.5 / 256);
  CHECK(std::fabs(normal.deviation - 0.5) < 0.01);
  CHECK(normal.largest > 3 * 0.5);
  auto const uniform = moments(drawn<TestType, Default>("u", Initial::uniform(2), 1, 1024));
  CHECK(std::fabs(uniform.mean) < 5 * 1.155 / 256);
  CHECK(std::fabs(uniform.deviation - Initial::uniform(2).deviation()) < 0.02);
  CHECK(uniform.largest <= 2);
  CHECK(uniform.largest > 1.99);
  auto const constant = drawn<TestType, Default>("c", Initial::constant(-1.5), 1, 2);
  CHECK(constant == std::vector<double>(128, -1.5));
}

TEST_CASE("numbers depend on seed and name alone", "[initialise]") {
  auto const normal = Initial::normal(1);
  auto const first = drawn<F32, Default>("blocks.0.w", normal, 7, 8);
  CHECK(first == drawn<F32, Default>("blocks.0.w", normal, 7, 8));
  CHECK(first != drawn<F32, Default>("blocks.0.w", normal, 8, 8));
  CHECK(first != drawn<F32, Default>("blocks.1.w", normal, 7, 8));
  auto const longer = drawn<F32, Default>("blocks.0.w", normal, 7, 9);
  CHECK(std::equal(first.begin(), first.end(), longer.begin()));
#if defined(KOKKOS_ENABLE_SERIAL)
  CHECK(first == drawn<F32, Kokkos::Serial>("blocks.0.w", normal, 7, 8));
#endif
}

TEST_CASE("a trained bf16 parameter and its master are rounded once from one draw",
          "[initialise]") {
  auto const normal = Initial::normal(1);
  auto const wide = drawn<F32, Default>("w", normal, 3, 4);
  CHECK(drawn<precision::Bf16Mixed, Default>("w", normal, 3, 4, true) == wide);
  auto const narrow = drawn<precision::Bf16Mixed, Default>("w", normal, 3, 4, false);
  auto const precise = drawn<precision::Float64, Default>("w", normal, 3, 4);
  for (std::size_t i = 0; i < narrow.size(); ++i) {
    REQUIRE(narrow[i] == convert<double>(convert<BFloat16>(precise[i])));
  }
}

TEST_CASE("buffers keep what they hold", "[initialise]") {
  CHECK(drawn<F32, Default>("b", Initial::normal(1), 3, 1, false, ParameterKind::buffer) ==
        std::vector<double>(64));
}
