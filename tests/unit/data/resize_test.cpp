// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/data/channels.hpp>
#include <dashi/data/resample.hpp>
#include <dashi/data/resize.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <cstdint>
#include <vector>

#include "data_fixture.hpp"

using namespace dashi;
using namespace dashi::data;
using dashi::test::failure_of;
using dashi::test::pattern;

namespace {

std::uint64_t sum(io::Raster const& raster) {
  std::uint64_t total = 0;
  for (std::uint8_t const value : raster.pixels) {
    total += value;
  }
  return total;
}

/// Σ (i + 1) value_i: tells places apart.
std::uint64_t weighted_sum(io::Raster const& raster) {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < raster.pixels.size(); ++i) {
    total += (i + 1) * raster.pixels[i];
  }
  return total;
}

struct Recorded {
  Filter filter;
  std::size_t width, height;
  std::uint64_t sum, weighted_sum;
};

}  // namespace

// Recorded from Pillow 13.0 on the same 13 x 7 RGB pattern.
TEST_CASE("resampling makes what Pillow makes") {
  auto const recorded = GENERATE(Recorded{Filter::box, 5, 3, 5798, 134785},
                                 Recorded{Filter::box, 19, 11, 80926, 25887634},
                                 Recorded{Filter::triangle, 5, 3, 5756, 132880},
                                 Recorded{Filter::triangle, 19, 11, 80268, 25495011},
                                 Recorded{Filter::cubic, 5, 3, 5754, 132885},
                                 Recorded{Filter::cubic, 19, 11, 80256, 25483089});
  io::Raster const result =
      resample(pattern(13, 7, 3), recorded.width, recorded.height, recorded.filter);
  CHECK(result.width == recorded.width);
  CHECK(result.height == recorded.height);
  CHECK(sum(result) == recorded.sum);
  CHECK(weighted_sum(result) == recorded.weighted_sum);
}

TEST_CASE("an axis that keeps its extent is left alone") {
  io::Raster const image = pattern(6, 4, 1);
  CHECK(resample(image, 6, 4, Filter::cubic) == image);
  io::Raster const halved = resample(image, 6, 2, Filter::box);
  for (std::size_t x = 0; x < 6; ++x) {
    CHECK(halved.pixels[x] == (image.pixels[x] + image.pixels[6 + x] + 1) / 2);
  }
}

TEST_CASE("the centre crop makes what ADM's preparation makes") {
  struct Crop {
    std::size_t size;
    std::uint64_t sum, weighted_sum;
  };
  auto const crop = GENERATE(Crop{3, 3484, 49334}, Crop{5, 9636, 369765}, Crop{8, 24870, 2430423});
  io::Raster const result = resized(pattern(13, 7, 3), crop.size, Resize::center_crop);
  CHECK(result.width == crop.size);
  CHECK(result.height == crop.size);
  CHECK(sum(result) == crop.sum);
  CHECK(weighted_sum(result) == crop.weighted_sum);
}

TEST_CASE("no resize rule refuses another size") {
  CHECK(resized(pattern(4, 4, 1), 4, Resize::none) == pattern(4, 4, 1));
  CHECK(failure_of([] { resized(pattern(4, 5, 1), 4, Resize::none); })->status == 70);
}

TEST_CASE("grey is made as Pillow makes it") {
  io::Raster const grey = with_channels(pattern(13, 7, 3), 1);
  std::vector<std::uint8_t> const first(grey.pixels.begin(), grey.pixels.begin() + 10);
  CHECK(first == std::vector<std::uint8_t>{43, 80, 117, 154, 191, 199, 86, 46, 83, 120});
  CHECK(sum(grey) == 11743);
  io::Raster const back = with_channels(grey, 3);
  CHECK(back.pixels.size() == 3 * grey.pixels.size());
  CHECK(with_channels(back, 1) == grey);
}

TEST_CASE("planes come channel by channel") {
  io::Raster const raster{2, 1, 3, {1, 2, 3, 4, 5, 6}};
  std::vector<std::uint8_t> chw(6);
  write_planes(raster, chw.data());
  CHECK(chw == std::vector<std::uint8_t>{1, 4, 2, 5, 3, 6});
}
