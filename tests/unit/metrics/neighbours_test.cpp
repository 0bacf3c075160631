// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/metrics/nearest_distances.hpp>
#include <dashi/metrics/precision_recall.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "metrics_fixture.hpp"

using namespace dashi;
using namespace dashi::metrics;
using namespace dashi::test;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace {

Features line(std::vector<double> values) {
  Features features(static_cast<Index>(values.size()), 1);
  features.values = std::move(values);
  return features;
}

double distance(Features const& a, Index i, Features const& b, Index j) {
  double sum = 0;
  for (std::size_t k = 0; k < a.row(i).size(); ++k) {
    sum += std::pow(a.row(i)[k] - b.row(j)[k], 2);
  }
  return std::sqrt(sum);
}

/// Share of queries in the balls around centres, by its definition.
double plain_share(Features const& queries, Features const& centres, Index k) {
  int covered = 0;
  for (Index q = 0; q < queries.count; ++q) {
    bool inside = false;
    for (Index c = 0; c < centres.count; ++c) {
      std::vector<double> others;
      for (Index o = 0; o < centres.count; ++o) {
        if (o != c) {
          others.push_back(distance(centres, c, centres, o));
        }
      }
      std::sort(others.begin(), others.end());
      inside =
          inside || distance(queries, q, centres, c) <= others[static_cast<std::size_t>(k - 1)];
    }
    covered += inside ? 1 : 0;
  }
  return static_cast<double>(covered) / static_cast<double>(queries.count);
}

}  // namespace

TEST_CASE("precision and recall on a line") {
  // With k = 1 the balls of 0, 1, 10 reach 1, 1 and 9: [-1, 1], [0, 2], [1, 19].
  Features const real = line({0, 1, 10});
  Features const generated = line({-3, 5, 20, 1.5});
  PrecisionRecall const result = precision_recall(real, generated, 1);
  CHECK(result.precision == 0.5);  // 5 and 1.5
  // Balls of the generated: -3 reaches 4.5, 5 reaches 3.5, 20 reaches 15, 1.5 reaches 3.5.
  CHECK(result.recall == 1.0);
  CHECK(precision_recall(real, line({100, 101, 102}), 1).precision == 0.0);
  CHECK(precision_recall(real, real, 2).precision == 1.0);
}

TEST_CASE("precision and recall agree with their definition") {
  Index const k = GENERATE(1, 3, 5);
  Index const size = GENERATE(2, 11);
  Features const real = normal(60, size, 1);
  Features const generated = normal(50, size, 2, 1.4, 0.3);
  PrecisionRecall const result = precision_recall(real, generated, k);
  CHECK(result.precision == plain_share(generated, real, k));
  CHECK(result.recall == plain_share(real, generated, k));
  CHECK(result.precision < 1);
  CHECK(result.precision > 0);
}

TEST_CASE("a generator that covers half of the data has precision and half the recall") {
  Features real = normal(400, 4, 1);
  for (Index i = 200; i < 400; ++i) {
    real.values[static_cast<std::size_t>(i * 4)] += 50;
  }
  PrecisionRecall const result = precision_recall(real, normal(400, 4, 2));
  CHECK(result.precision > 0.9);
  CHECK_THAT(result.recall, WithinAbs(0.5, 0.05));
}

TEST_CASE("precision and recall need neighbours") {
  CHECK(code_of([] { precision_recall(line({1, 2, 3}), line({1, 2, 3, 4})); }) == "precondition");
  CHECK(code_of([] { precision_recall(line({1, 2}), normal(3, 2, 1), 1); }) == "precondition");
  CHECK(code_of([] { precision_recall(line({1, 2}), line({1, 2}), 0); }) == "precondition");
}

TEST_CASE("the nearest training image is found") {
  Features const training = normal(70, 13, 1);
  Features samples = normal(30, 13, 2);
  std::copy_n(training.values.begin() + 41 * 13, 13, samples.values.begin() + 7 * 13);
  std::vector<Nearest> const nearest = nearest_distances(samples, training);
  REQUIRE(nearest.size() == 30);
  for (Index i = 0; i < 30; ++i) {
    Index best = 0;
    for (Index j = 1; j < 70; ++j) {
      if (distance(samples, i, training, j) < distance(samples, i, training, best)) {
        best = j;
      }
    }
    CHECK(nearest[static_cast<std::size_t>(i)].index == best);
    CHECK_THAT(nearest[static_cast<std::size_t>(i)].distance,
               WithinRel(distance(samples, i, training, best), 1e-13));
  }
  CHECK(nearest[7].distance == 0);
  CHECK(nearest[7].index == 41);
  CHECK(code_of([&] { nearest_distances(samples, Features(0, 13)); }) == "precondition");
  CHECK(code_of([&] { nearest_distances(samples, Features(4, 12)); }) == "precondition");
  CHECK(nearest_distances(line({3}), line({5, 1, 5})).front().index == 0);
}
