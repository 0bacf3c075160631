// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/context.hpp>
#include <dashi/core/philox.hpp>

#include <Kokkos_Core.hpp>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

using dashi::Philox;
using dashi::PhiloxBlock;

namespace {

bool same(PhiloxBlock const& a, PhiloxBlock const& b) {
  return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

// A hash of the numbers' bits in their order.
template <class Number>
std::uint64_t digest(std::uint64_t count, Number const& number) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (std::uint64_t i = 0; i < count; ++i) {
    hash = (hash ^ std::bit_cast<std::uint64_t>(double{number(i)})) * 0x9e3779b97f4a7c15U;
    hash ^= hash >> 32;
  }
  return hash;
}

template <class Exec, class T>
void check_space() {
  dashi::Context<Exec> ctx;
  Philox const random(99, {.purpose = 3, .step = 5, .sample = 7});
  Kokkos::View<T*, Exec> drawn("drawn", 10007);
  Kokkos::parallel_for(
      "draw", Kokkos::RangePolicy<Exec>(ctx.exec(), 0, drawn.size()),
      KOKKOS_LAMBDA(std::size_t i) { drawn(i) = random.normal<T>(i); });
  ctx.fence();
  auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), drawn);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < host.size(); ++i) {
    wrong += host(i) != random.normal<T>(i);
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("Philox-4x32-10 gives the published answers", "[philox]") {
  // Random123, tests/kat_vectors, lines "philox4x32 10".
  CHECK(same(dashi::philox4x32_10({{0, 0, 0, 0}}, {{0, 0}}),
             {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}));
  constexpr std::uint32_t ones = 0xffffffff;
  CHECK(same(dashi::philox4x32_10({{ones, ones, ones, ones}}, {{ones, ones}}),
             {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}));
  CHECK(same(dashi::philox4x32_10({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
                                  {{0xa4093822, 0x299f31d0}}),
             {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}));
}

TEST_CASE("seed, place and index sit where the counter says", "[philox]") {
  std::uint64_t const seed = 0x1122334455667788;
  Philox const random(seed, {.purpose = 0xabcd, .step = 0x123456789a, .sample = 0xdeadbeef});
  // From the lowest bit: block 40, sample 32, step 40, purpose 16.
  PhiloxBlock const counter{{0x04030201, 0xadbeef05, 0x56789ade, 0xabcd1234}};
  CHECK(
      same(random.block(0x0504030201), dashi::philox4x32_10(counter, {{0x55667788, 0x11223344}})));
  CHECK(same(Philox(seed, {}).block(0),
             dashi::philox4x32_10({{0, 0, 0, 0}}, {{0x55667788, 0x11223344}})));
  CHECK_THROWS_AS(Philox(seed, {.step = std::uint64_t{1} << 40}), dashi::PreconditionError);
  CHECK_NOTHROW(Philox(seed, {.step = (std::uint64_t{1} << 40) - 1}));
}

TEST_CASE("uniform numbers are words scaled", "[philox]") {
  Philox const random(5, {.purpose = 1});
  auto const words = random.block(6);
  CHECK(random.uniform<float>(24) == static_cast<float>(words[0] >> 8) * 0x1p-24f);
  CHECK(random.uniform<float>(27) == static_cast<float>(words[3] >> 8) * 0x1p-24f);
  std::uint64_t const second = words[2] | std::uint64_t{words[3]} << 32;
  CHECK(random.uniform<double>(13) == static_cast<double>(second >> 11) * 0x1p-53);
  double sum = 0;
  double largest = 0;
  double smallest = 1;
  for (std::uint64_t i = 0; i < 100000; ++i) {
    double const u = random.uniform<double>(i);
    sum += u;
    largest = std::fmax(largest, u);
    smallest = std::fmin(smallest, u);
  }
  CHECK(std::fabs(sum / 100000 - 0.5) < 4 * 0.2887 / std::sqrt(1e5));
  CHECK(largest < 1);
  CHECK(smallest >= 0);
}

TEST_CASE("normal quantiles are right to four units in the last place", "[philox]") {
  // From mpmath with 200 bits.
  struct Point {
    double p, z;
  };
  Point const points[] = {{0x1.0000000000000p-53, -0x1.06b48528cea52p+3},
                          {0x1.203af9ee75616p-50, -0x1.fc3f007789669p+2},
                          {0x1.0000000000000p-40, -0x1.c30d8560989abp+2},
                          {0x1.12e0be826d695p-30, -0x1.7fdc11f44b5a7p+2},
                          {0x1.0000000000000p-33, -0x1.95a1198fcf3d6p+2},
                          {0x1.0c6f7a0b5ed8dp-20, -0x1.30381a9799f7ep+2},
                          {0x1.0624dd2f1a9fcp-10, -0x1.8b8cbb7204471p+1},
                          {0x1.47ae147ae147bp-6, -0x1.06e13e8aadfdcp+1},
                          {0x1.32ca57a786c22p-4, -0x1.70b374817af52p+0},
                          {0x1.339c0ebedfa44p-4, -0x1.7056dc6686c9bp+0},
                          {0x1.999999999999ap-4, -0x1.4813c36e26d32p+0},
                          {0x1.0000000000000p-2, -0x1.5956b87528a49p-1},
                          {0x1.fffff94a03595p-2, -0x1.0d25ac61904eep-22},
                          {0x1.0000035afe535p-1, 0x1.0d25ac5f0e9c8p-22},
                          {0x1.3333333333333p-1, 0x1.036d6c4a04b59p-2},
                          {0x1.ccccccccccccdp-1, 0x1.4813c36e26d33p+0},
                          {0x1.dc28f5c28f5c3p-1, 0x1.79cd70d9c27f4p+0},
                          {0x1.f333333333333p-1, 0x1.f5c0331eeff83p+0},
                          {0x1.ff7ced916872bp-1, 0x1.8b8cbb7204470p+1},
                          {0x1.ffffffff00000p-1, 0x1.95a1198fcf3d6p+2},
                          {0x1.fffffffffffffp-1, 0x1.06b48528cea52p+3}};
  for (Point const point : points) {
    CAPTURE(point.p);
    CHECK(std::fabs(dashi::normal_quantile(point.p) - point.z) <=
          4 * std::ldexp(1.0, std::ilogb(point.z) - 52));
  }
  CHECK(dashi::normal_quantile(0.5) == 0.0);
}

TEST_CASE("normal numbers have the moments of a normal", "[philox]") {
  Philox const random(1234, {.purpose = 2});
  constexpr int count = 200000;
  double sum = 0, square = 0, cube = 0, fourth = 0;
  int tail = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    double const z = random.normal<float>(i);
    sum += z;
    square += z * z;
    cube += z * z * z;
    fourth += z * z * z * z;
    tail += std::fabs(z) > 3;
  }
  double const sigma = 1 / std::sqrt(double{count});  // bounds: five standard errors
  CHECK(std::fabs(sum / count) < 5 * sigma);
  CHECK(std::fabs(square / count - 1) < 5 * std::sqrt(2.0) * sigma);
  CHECK(std::fabs(cube / count) < 5 * std::sqrt(15.0) * sigma);
  CHECK(std::fabs(fourth / count - 3) < 5 * std::sqrt(96.0) * sigma);
  CHECK(std::fabs(tail - 0.0026998 * count) < 5 * std::sqrt(0.0027 * count));
}

// Bits promised for every compiler, optimisation level, instruction set and device.
TEST_CASE("numbers have the promised bits", "[philox]") {
  Philox const random(42, {.purpose = 1, .step = 2, .sample = 3});
  CHECK(digest(100000, [&](std::uint64_t i) { return random.uniform<float>(i); }) ==
        0xd701dcef2ff06648U);
  CHECK(digest(100000, [&](std::uint64_t i) { return random.uniform<double>(i); }) ==
        0xde60006bd79046f8U);
  CHECK(digest(100000, [&](std::uint64_t i) { return random.normal<float>(i); }) ==
        0xf28ec1f329c44077U);
  CHECK(digest(100000, [&](std::uint64_t i) { return random.normal<double>(i); }) ==
        0x423b451cbf7c30d7U);
}

TEMPLATE_TEST_CASE("kernels draw what the host draws", "[philox]", Kokkos::DefaultExecutionSpace,
                   Kokkos::Serial) {
  check_space<TestType, float>();
  check_space<TestType, double>();
}
