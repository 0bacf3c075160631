// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/jpeg.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "reader_fixture.hpp"

using namespace dashi::io;
using dashi::reader_test::contains;
using dashi::reader_test::failure_of;

namespace {

std::vector<std::byte> encode(int width, int height, int format, std::vector<std::uint8_t> pixels,
                              bool progressive = false) {
  tjhandle const encoder = tjInitCompress();
  unsigned char* out = nullptr;
  unsigned long size = 0;
  tjCompress2(encoder, pixels.data(), width, 0, height, format, &out, &size,
              format == TJPF_GRAY ? TJSAMP_GRAY : TJSAMP_444, 100,
              TJFLAG_ACCURATEDCT | (progressive ? TJFLAG_PROGRESSIVE : 0));
  auto const* const first = reinterpret_cast<std::byte const*>(out);
  std::vector<std::byte> bytes(first, first + size);
  tjFree(out);
  tjDestroy(encoder);
  return bytes;
}

}  // namespace

TEST_CASE("grey and colour JPEG files are decoded") {
  bool const progressive = GENERATE(false, true);
  std::vector<std::uint8_t> grey(64);
  for (std::size_t i = 0; i < grey.size(); ++i) {
    grey[i] = static_cast<std::uint8_t>(3 * i + 10);
  }
  Raster const image = decode_jpeg("x.jpg", encode(8, 8, TJPF_GRAY, grey, progressive));
  CHECK(image.channels == 1);
  CHECK(image.width == 8);
  REQUIRE(image.pixels.size() == 64);
  for (std::size_t i = 0; i < grey.size(); ++i) {
    CHECK(std::abs(image.pixels[i] - grey[i]) <= 2);
  }
  std::vector<std::uint8_t> colour;
  for (int i = 0; i < 16 * 8; ++i) {
    colour.insert(colour.end(), {200, 30, 90});
  }
  Raster const flat = decode_jpeg("x.jpg", encode(16, 8, TJPF_RGB, colour, progressive));
  CHECK(flat.channels == 3);
  CHECK(flat.height == 8);
  for (std::size_t i = 0; i < colour.size(); ++i) {
    CHECK(std::abs(flat.pixels[i] - colour[i]) <= 2);
  }
}

TEST_CASE("what is no whole JPEG image is refused") {
  std::vector<std::byte> bytes = encode(32, 32, TJPF_GRAY, std::vector<std::uint8_t>(1024, 9));
  auto const cut =
      failure_of([&] { decode_jpeg("x.jpg", std::span(bytes).first(bytes.size() - 30)); });
  CHECK(cut->status == 65);
  CHECK(contains(cut->message, "x.jpg: "));
  CHECK(failure_of([&] { decode_jpeg("x.jpg", std::span(bytes).first(40)); })->status == 65);
  // The extents stand behind the marker of the frame: ff c0, length, precision, height, width.
  for (std::size_t at = 0; at + 9 < bytes.size(); ++at) {
    if (bytes[at] == std::byte{0xff} && bytes[at + 1] == std::byte{0xc0}) {
      for (std::size_t i = 5; i < 9; ++i) {
        bytes[at + i] = i % 2 == 0 ? std::byte{0} : std::byte{0xf0};
      }
    }
  }
  CHECK(contains(failure_of([&] { decode_jpeg("x.jpg", bytes); })->message,
                 "claims 61440 x 61440 pixels"));
}

TEST_CASE("a CMYK image is refused") {
  std::vector<std::byte> const bytes = encode(8, 8, TJPF_CMYK, std::vector<std::uint8_t>(256, 100));
  CHECK(contains(failure_of([&] { decode_jpeg("x.jpg", bytes); })->message, "CMYK"));
}
