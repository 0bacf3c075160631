// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/data/guess_procedural.hpp>
#include <dashi/data/procedural.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "data_fixture.hpp"

using namespace dashi;
using namespace dashi::data;
using namespace dashi::test;

TEST_CASE("a procedural set has every shape in every palette") {
  ProceduralOptions options;
  options.count = 50;
  ImageSet const set = procedural(options);
  CHECK(set.size() == 50);
  CHECK(set.shape() == ImageShape{3, 32, 32});
  CHECK(set.class_names() ==
        std::vector<std::string>{"disc", "square", "triangle", "ring", "cross"});
  std::set<std::pair<Shape, Palette>> pairs;
  for (std::size_t i = 0; i < 25; ++i) {
    ProceduralItem const item = procedural_item(options, i);
    pairs.emplace(item.shape, item.palette);
    CHECK(set.label(i) == static_cast<std::int64_t>(item.shape));
  }
  CHECK(pairs.size() == 25);
  CHECK(image(set, 3) != image(set, 28));  // the same pair elsewhere
  CHECK(set.memory() == 0);
}

TEST_CASE("labels of a procedural set") {
  ProceduralOptions options;
  options.count = 12;
  options.shapes = {Shape::ring, Shape::disc};
  options.palettes = {Palette::ruby, Palette::coal, Palette::gold};
  options.labels = ProceduralLabels::palette;
  CHECK(procedural(options).class_names() == std::vector<std::string>{"ruby", "coal", "gold"});
  CHECK(procedural(options).label(4) == 2);
  options.labels = ProceduralLabels::shape_and_palette;
  options.label_offset = 1;
  ImageSet const set = procedural(options);
  CHECK(set.class_names() == std::vector<std::string>{"", "ring/ruby", "ring/coal", "ring/gold",
                                                      "disc/ruby", "disc/coal", "disc/gold"});
  CHECK(set.label(0) == 1);
  CHECK(set.label(3) == 5);  // disc, coal
  CHECK(set.class_names()[5] == "disc/coal");
}

TEST_CASE("drawn shapes have the area, the centre and the colours that they say") {
  ProceduralOptions options;
  options.size = 64;
  for (std::size_t i = 0; i < 25; ++i) {
    ProceduralItem const item = procedural_item(options, i);
    double area = 0, x = 0, y = 0;
    for (Index row = 0; row < 64; ++row) {
      for (Index column = 0; column < 64; ++column) {
        double const share = coverage(item, column, row);
        bool const at_edge = row == 0 || column == 0 || row == 63 || column == 63;
        CHECK_FALSE((at_edge && share > 0));
        area += share;
        x += share * (static_cast<double>(column) + 0.5);
        y += share * (static_cast<double>(row) + 0.5);
      }
    }
    INFO("item " << i);
    double const expected = data::detail::unit_area(item.shape) * item.radius * item.radius;
    CHECK(std::abs(area / expected - 1) < 0.02);
    CHECK(std::abs(x / area - item.x) < 0.1);
    CHECK(std::abs(y / area - item.y) < 0.1);
  }
  ProceduralItem const disc{Shape::disc, Palette::leaf, 32, 32, 10};
  std::vector<float> chw(3 * 64 * 64);
  draw_procedural(options, disc, chw);
  CHECK(chw[64 * 64 + 32 * 64 + 32] == colours(Palette::leaf).ink[1]);
  CHECK(chw[2 * 64 * 64] == colours(Palette::leaf).paper[2]);
}

TEST_CASE("every image of a procedural set is recognised") {
  ProceduralOptions options;
  options.channels = GENERATE(1, 3);
  options.size = GENERATE(16, 32, 40);
  options.seed = 7;
  options.count = 500;
  ImageSet const set = procedural(options);
  for (std::size_t i = 0; i < set.size(); ++i) {
    ProceduralItem const truth = procedural_item(options, i);
    ProceduralGuess const guess = guess_procedural(options, image(set, i));
    INFO("item " << i << " of size " << options.size);
    CHECK(guess.item.shape == truth.shape);
    CHECK(guess.item.palette == truth.palette);
    CHECK(guess.overlap > 0.9);
    CHECK(std::abs(guess.item.radius - truth.radius) < 0.05 * truth.radius);
  }
}

TEST_CASE("noisy images are recognised, noise alone overlaps with nothing") {
  ProceduralOptions options;
  options.count = 100;
  std::mt19937 random(1);
  std::normal_distribution<float> noise(0, 0.15F);
  ImageSet const set = procedural(options);
  int right = 0;
  for (std::size_t i = 0; i < set.size(); ++i) {
    std::vector<float> chw = image(set, i);
    for (float& x : chw) {
      x = std::clamp(x + noise(random), -1.0F, 1.0F);
    }
    ProceduralGuess const guess = guess_procedural(options, chw);
    ProceduralItem const truth = procedural_item(options, i);
    right += guess.item.shape == truth.shape && guess.item.palette == truth.palette ? 1 : 0;
  }
  CHECK(right >= 90);
  std::vector<float> chw(3 * 32 * 32);
  for (float& x : chw) {
    x = std::clamp(4 * noise(random), -1.0F, 1.0F);
  }
  CHECK(guess_procedural(options, chw).overlap < 0.6);
}

TEST_CASE("the digest of a procedural set is that of its options") {
  ProceduralOptions options;
  std::string const digest = procedural(options).digest();
  CHECK(procedural(options).digest() == digest);
  options.seed = 1;
  CHECK(procedural(options).digest() != digest);
  options = {};
  options.labels = ProceduralLabels::palette;
  CHECK(procedural(options).digest() != digest);
  options = {};
  options.size = 4;
  CHECK(failure_of([&] { procedural(options); })->status == 70);
}

TEST_CASE("palettes are far apart, in grey too") {
  for (std::size_t a = 0; a < palette_names.size(); ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      PaletteColours const& p = colours(static_cast<Palette>(a));
      PaletteColours const& q = colours(static_cast<Palette>(b));
      CHECK(std::hypot(p.grey_ink - q.grey_ink, p.grey_paper - q.grey_paper) > 0.6F);
      float sum = 0;
      for (std::size_t c = 0; c < 3; ++c) {
        sum += (p.ink[c] - q.ink[c]) * (p.ink[c] - q.ink[c]) +
               (p.paper[c] - q.paper[c]) * (p.paper[c] - q.paper[c]);
      }
      CHECK(std::sqrt(sum) > 0.6F);
    }
  }
}
