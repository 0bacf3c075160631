// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/data/procedural.hpp>
#include <dashi/metrics/frechet_distance.hpp>
#include <dashi/metrics/random_features.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <cmath>
#include <limits>
#include <vector>

#include "metrics_fixture.hpp"

using namespace dashi;
using namespace dashi::metrics;
using namespace dashi::test;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace {

/// Rounding errors of some hundred additions.
constexpr double rounding = 1e-13;

}  // namespace

// 1.9617...: scipy.linalg.sqrtm of the product of numpy.cov's. 1.3850...: there the covariances
// have rank 4 and 8 of 12, and the four eigenvalues that are not zero were taken.
TEST_CASE("the Frechet distance agrees with scipy") {
  CHECK_THAT(
      frechet_distance(lattice(40, 6, 7919, 389, 31), lattice(35, 6, 5003, 211, 77, 1.5, 0.25)),
      WithinRel(1.961721014007222, 1e-12));
  CHECK_THAT(frechet_distance(lattice(5, 12, 7919, 389, 31), lattice(9, 12, 5003, 211, 77)),
             WithinRel(1.3850482716894401, 1e-12));
}

TEST_CASE("in one dimension it is the distance of means and deviations") {
  Features a(3, 1);
  a.values = {1, 2, 6};  // mean 3, variance 7
  Features b(4, 1);
  b.values = {-1, -1, 1, 1};  // mean 0, variance 4/3
  double const deviations = std::sqrt(7.0) - std::sqrt(4.0 / 3);
  CHECK_THAT(frechet_distance(a, b), WithinRel(9 + deviations * deviations, rounding));
}

TEST_CASE("along independent axes it is their sum") {
  // Rows (±s, 0), (0, ±t): covariance diag(2 s^2, 2 t^2) / 3.
  auto const cross = [](double s, double t) {
    Features x(4, 2);
    x.values = {s, 0, -s, 0, 0, t, 0, -t};
    return x;
  };
  double const root = std::sqrt(2.0 / 3);
  double const expected = std::pow(root * (1 - 3), 2) + std::pow(root * (5 - 2), 2);
  CHECK_THAT(frechet_distance(cross(1, 5), cross(3, 2)), WithinRel(expected, rounding));
}

TEST_CASE("laws of the Frechet distance") {
  Features const a = lattice(30, 8, 7919, 389, 31);
  Features const b = lattice(25, 8, 5003, 211, 77);
  CHECK_THAT(frechet_distance(a, a), WithinAbs(0, rounding * 30));
  CHECK_THAT(frechet_distance(a, b), WithinRel(frechet_distance(b, a), 10 * rounding));
  Features moved = a;
  for (double& x : moved.values) {
    x += 0.5;
  }
  CHECK_THAT(frechet_distance(a, moved), WithinRel(8 * 0.25, 10 * rounding));
  Features larger_a = a;
  Features larger_b = b;
  for (double& x : larger_a.values) {
    x *= 3;
  }
  for (double& x : larger_b.values) {
    x *= 3;
  }
  CHECK_THAT(frechet_distance(larger_a, larger_b), WithinRel(9 * frechet_distance(a, b), 1e-11));
}

TEST_CASE("sets of equal distribution come near each other") {
  double const apart = frechet_distance(normal(4000, 10, 1), normal(4000, 10, 2));
  CHECK(apart > 0);
  CHECK(apart < 0.05);
  CHECK_THAT(frechet_distance(normal(4000, 10, 1), normal(4000, 10, 2, 2, 1)),
             WithinRel(20.0, 0.05));  // 10 (1 + (2 - 1)^2)
}

TEST_CASE("what has no Frechet distance is refused") {
  Features const a = lattice(5, 3, 1, 2, 3);
  CHECK(code_of([&] { frechet_distance(a, lattice(5, 4, 1, 2, 3)); }) == "precondition");
  CHECK(code_of([&] { frechet_distance(a, lattice(1, 3, 1, 2, 3)); }) == "precondition");
  Features bad = a;
  bad.values[4] = std::numeric_limits<double>::quiet_NaN();
  CHECK(code_of([&] { frechet_distance(bad, a); }) == "not-finite");
}

TEMPLATE_TEST_CASE("the distance is the same on each host provider", "", provider::Portable,
                   DefaultHostProvider) {
  Context<Kokkos::DefaultHostExecutionSpace, TestType> ctx;
  CHECK_THAT(frechet_distance(ctx, lattice(40, 6, 7919, 389, 31),
                              lattice(35, 6, 5003, 211, 77, 1.5, 0.25)),
             WithinRel(1.961721014007222, 1e-12));
}

TEST_CASE("on random features it orders sets of images") {
  auto const features = [](data::ProceduralOptions options) {
    options.count = 1500;
    data::ImageSet const set = data::procedural(options);
    std::vector<float> values(set.size() * static_cast<std::size_t>(set.shape().size()));
    for (std::size_t i = 0; i < set.size(); ++i) {
      set.read(i, std::span(values).subspan(i * static_cast<std::size_t>(set.shape().size()),
                                            static_cast<std::size_t>(set.shape().size())));
    }
    return random_features({values, 1500, options.channels, options.size, options.size});
  };
  data::ProceduralOptions options;
  options.channels = 1;
  options.size = 16;
  Features const base = features(options);
  options.seed = 1;
  double const same = frechet_distance(base, features(options));
  options.shapes = {data::Shape::disc, data::Shape::ring};
  double const fewer_shapes = frechet_distance(base, features(options));
  options.palettes = {data::Palette::coal};
  double const one_palette = frechet_distance(base, features(options));
  CHECK(same < 0.5 * fewer_shapes);
  CHECK(fewer_shapes < 0.5 * one_palette);
}
