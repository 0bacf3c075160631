// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/data/image_grid.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "data_fixture.hpp"

using namespace dashi;
using namespace dashi::data;
using dashi::test::failure_of;

TEST_CASE("numbers become bytes") {
  CHECK(byte_of(-1.0F) == 0);
  CHECK(byte_of(1.0F) == 255);
  CHECK(byte_of(0.0F) == 128);
  CHECK(byte_of(-7.0F) == 0);
  CHECK(byte_of(7.0F) == 255);
  CHECK(byte_of(std::numeric_limits<float>::quiet_NaN()) == 0);
  for (int v = 0; v < 256; ++v) {
    CHECK(byte_of(static_cast<float>(v / 127.5 - 1)) == v);
  }
}

TEST_CASE("a grid has its images side by side") {
  // Three images of 2 x 1 pixels in two columns, gap 1: 7 x 5 pixels.
  std::vector<float> const images{-1.0F, 1.0F, 0.2F, 1.0F, 1.0F, -1.0F};
  io::Raster const grid = image_grid(images, {1, 1, 2}, {.columns = 2, .gap = 1, .paper = 9});
  CHECK(grid.width == 7);
  CHECK(grid.height == 5);
  CHECK(grid.pixels == std::vector<std::uint8_t>{9, 9,   9,   9, 9,   9,   9,  //
                                                 9, 0,   255, 9, 153, 255, 9,  //
                                                 9, 9,   9,   9, 9,   9,   9,  //
                                                 9, 255, 0,   9, 9,   9,   9,  //
                                                 9, 9,   9,   9, 9,   9,   9});
  io::Raster const turned =
      image_grid(images, {1, 1, 2}, {.columns = 3, .gap = 0, .paper = 9, .invert = true});
  CHECK(turned.pixels == std::vector<std::uint8_t>{255, 0, 102, 0, 0, 255});
}

TEST_CASE("a colour grid interleaves channels") {
  std::vector<float> const image{-1.0F, 1.0F, -0.2F, 0.2F, 1.0F, -1.0F};
  io::Raster const grid = image_grid(image, {3, 1, 2}, {.gap = 0});
  CHECK(grid.channels == 3);
  CHECK(grid.pixels == std::vector<std::uint8_t>{0, 102, 255, 255, 153, 0});
}

TEST_CASE("a grid without columns is nearly square") {
  CHECK(grid_columns(1) == 1);
  CHECK(grid_columns(2) == 2);
  CHECK(grid_columns(4) == 2);
  CHECK(grid_columns(5) == 3);
  CHECK(grid_columns(16) == 4);
  CHECK(failure_of([] { image_grid(std::vector<float>(8), {2, 2, 2}); })->status == 70);
  CHECK(failure_of([] { image_grid(std::vector<float>(7), {1, 2, 2}); })->status == 70);
  CHECK(failure_of([] { image_grid({}, {1, 2, 2}); })->status == 70);
}
