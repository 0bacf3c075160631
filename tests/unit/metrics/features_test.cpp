// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/philox.hpp>
#include <dashi/metrics/pooled_pixels.hpp>
#include <dashi/metrics/random_features.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

#include "metrics_fixture.hpp"

using namespace dashi;
using namespace dashi::metrics;
using namespace dashi::test;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace {

std::vector<float> noise(std::size_t count, std::uint64_t seed) {
  std::vector<float> values(count);
  Philox const random(seed, {});
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = random.normal<float>(i);
  }
  return values;
}

/// The network of random_features() by its definition, one output at a time; [channels, height,
/// width] throughout.
std::vector<double> plain_network(std::vector<double> image, Index channels, Index height,
                                  Index width, RandomFeatureOptions const& options) {
  double const mean = 1 / std::sqrt(2 * std::numbers::pi);
  double const deviation = std::sqrt(0.5 - 1 / (2 * std::numbers::pi));
  for (std::size_t layer = 0; layer < options.widths.size(); ++layer) {
    Philox const random(options.seed, {.purpose = 0x4d46, .step = layer});
    Index const outs = options.widths[layer];
    Index const out_height = (height + 1) / 2;
    Index const out_width = (width + 1) / 2;
    std::vector<double> next;
    for (Index o = 0; o < outs; ++o) {
      for (Index y = 0; y < out_height; ++y) {
        for (Index x = 0; x < out_width; ++x) {
          double z = 0;
          for (Index c = 0; c < channels; ++c) {
            for (Index dy = 0; dy < 3; ++dy) {
              for (Index dx = 0; dx < 3; ++dx) {
                Index const row = std::clamp<Index>(2 * y + dy - 1, 0, height - 1);
                Index const column = std::clamp<Index>(2 * x + dx - 1, 0, width - 1);
                Index const weight = ((dy * 3 + dx) * channels + c) * outs + o;
                z += random.normal<double>(static_cast<std::uint64_t>(weight)) /
                     std::sqrt(9.0 * static_cast<double>(channels)) *
                     image[static_cast<std::size_t>((c * height + row) * width + column)];
              }
            }
          }
          next.push_back((std::max(z, 0.0) - mean) / deviation);
        }
      }
    }
    image = next;
    channels = outs, height = out_height, width = out_width;
  }
  return image;
}

}  // namespace

TEST_CASE("random features are those of the plain network") {
  RandomFeatureOptions options;
  options.widths = {3, 5};
  options.seed = 4;
  Index const channels = GENERATE(1, 3);
  std::vector<float> const values = noise(static_cast<std::size_t>(20 * channels * 9 * 7), 1);
  Features const features = random_features({values, 20, channels, 9, 7}, options);
  REQUIRE(features.count == 20);
  REQUIRE(features.size == 2 * 2 * 5);  // 3 x 2 places in 2 x 2 cells
  for (Index i = 0; i < 20; ++i) {
    auto const first = values.begin() + i * channels * 63;
    std::vector<double> const plain =
        plain_network({first, first + channels * 63}, channels, 9, 7, options);
    for (Index c = 0; c < 5; ++c) {
      double const* const plane = plain.data() + c * 6;
      double const cells[4] = {plane[0], plane[1], (plane[2] + plane[4]) / 2,
                               (plane[3] + plane[5]) / 2};
      for (Index cell = 0; cell < 4; ++cell) {
        CHECK_THAT(features.row(i)[static_cast<std::size_t>(cell * 5 + c)],
                   WithinAbs(cells[cell], 1e-12));
      }
    }
  }
}

TEST_CASE("random features keep mean 0 and variance 1") {
  RandomFeatureOptions options;
  options.widths = {32, 64, 128};
  options.pool = 100;  // every place of the last layer, not averaged
  std::vector<float> const values = noise(100 * 3 * 16 * 16, 2);
  Features const features = random_features({values, 100, 3, 16, 16}, options);
  CHECK(features.size == 128 * 4);
  double sum = 0, squares = 0;
  for (double const x : features.values) {
    sum += x;
    squares += x * x;
  }
  auto const count = static_cast<double>(features.values.size());
  CHECK_THAT(sum / count, WithinAbs(0, 0.1));
  CHECK_THAT(squares / count, WithinAbs(1, 0.15));
}

TEST_CASE("random features depend on the image and the seed alone") {
  std::vector<float> const values = noise(40 * 64, 3);
  Features const all = random_features({values, 40, 1, 8, 8});
  CHECK(all.size == 64);  // 1 x 1 places are left
  Features const last = random_features({std::span(values).subspan(23 * 64, 17 * 64), 17, 1, 8, 8});
  CHECK(std::equal(last.values.begin(), last.values.end(), all.values.begin() + 23 * 64));
  CHECK(random_features({values, 40, 1, 8, 8}).values == all.values);
  CHECK(random_features({values, 40, 1, 8, 8}, {.seed = 1}).values != all.values);
  CHECK(code_of([&] { random_features({values, 41, 1, 8, 8}); }) == "precondition");
  CHECK(code_of([&] { random_features({values, 40, 1, 8, 8}, {.widths = {}}); }) == "precondition");
}

TEST_CASE("pooled pixels are means of areas") {
  std::vector<float> const values{0, 1, 2, 3, 4, 5};
  CHECK(pooled_pixels({values, 1, 1, 2, 3}, 1).values == std::vector<double>{2.5});
  Features const halves = pooled_pixels({values, 1, 1, 2, 3}, 2);  // columns 1.5 wide
  REQUIRE(halves.values.size() == 4);
  CHECK_THAT(halves.values[0], WithinRel(0.5 / 1.5, 1e-14));
  CHECK_THAT(halves.values[1], WithinRel((0.5 * 1 + 2) / 1.5, 1e-14));
  CHECK_THAT(halves.values[3], WithinRel((0.5 * 4 + 5) / 1.5, 1e-14));
  CHECK(pooled_pixels({values, 1, 1, 2, 3}).values == std::vector<double>{0, 1, 2, 3, 4, 5});
  CHECK(pooled_pixels({values, 1, 2, 1, 3}, 0).values == std::vector<double>{0, 1, 2, 3, 4, 5});
  Features const channels = pooled_pixels({values, 1, 2, 1, 3}, 1);
  CHECK(channels.values.size() == 2);
  CHECK_THAT(channels.values[1], WithinRel(4.0, 1e-14));
}
