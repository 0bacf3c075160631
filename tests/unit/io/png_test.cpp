// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/input_file.hpp>
#include <dashi/io/png.hpp>

#include <zlib.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reader_fixture.hpp"

using namespace dashi::io;
using dashi::reader_test::contains;
using dashi::reader_test::failure_of;
using dashi::reader_test::ScratchDirectory;

namespace {

Raster raster(std::size_t width, std::size_t height, std::size_t channels) {
  Raster result{width, height, channels, {}};
  for (std::size_t i = 0; i < width * height * channels; ++i) {
    result.pixels.push_back(static_cast<std::uint8_t>(i * 41 + i / 7));
  }
  return result;
}

/// Encodes with libpng whatever form is asked for: what write_png() does not make.
struct OtherForm {
  int bits;
  int type;
  int interlace = PNG_INTERLACE_NONE;
};

std::vector<std::byte> encode(OtherForm form, png_uint_32 width, png_uint_32 height,
                              std::vector<std::uint8_t> rows) {
  std::vector<std::byte> bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &bytes,
      [](png_structp p, png_bytep data, std::size_t size) {
        auto& out = *static_cast<std::vector<std::byte>*>(png_get_io_ptr(p));
        auto const* const first = reinterpret_cast<std::byte const*>(data);
        out.insert(out.end(), first, first + size);
      },
      [](png_structp) {});
  png_set_IHDR(png, info, width, height, form.bits, form.type, form.interlace,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  std::vector<png_color> const palette{{10, 20, 30}, {200, 100, 50}};
  if (form.type == PNG_COLOR_TYPE_PALETTE) {
    png_set_PLTE(png, info, palette.data(), 2);
  }
  std::vector<png_bytep> pointers;
  for (std::size_t y = 0; y < height; ++y) {
    pointers.push_back(rows.data() + y * (rows.size() / height));
  }
  png_set_rows(png, info, pointers.data());
  png_write_png(png, info, PNG_TRANSFORM_IDENTITY, nullptr);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

using Pixels = std::vector<std::uint8_t>;

Pixels decoded(std::vector<std::byte> const& bytes) {
  return decode_png("x.png", bytes).raster.pixels;
}

}  // namespace

TEST_CASE("a written PNG file reads back with its text") {
  ScratchDirectory const folder;
  Raster const image = raster(13, 9, GENERATE(1U, 3U));
  std::map<std::string, std::string> const text{
      {"dashi", "steps 50, guidance 4"}, {"Author", ""}, {"note", "Σ ink\nsecond line"}};
  write_png(folder / "x.png", image, text);
  InputFile const file(folder / "x.png");
  std::vector<std::byte> bytes(file.size());
  file.read_exact(0, bytes);
  CHECK(bytes == encode_png(image, text));
  std::string_view const raw(reinterpret_cast<char const*>(bytes.data()), bytes.size());
  CHECK(contains(raw, std::string("tEXtdashi\0steps 50, guidance 4", 30)));
  CHECK(contains(raw, std::string("iTXtnote\0", 9)));  // what is not ASCII is marked as UTF-8
  PngContents const back = decode_png("x.png", bytes);
  CHECK(back.raster == image);
  CHECK(back.text == text);
  CHECK(failure_of([&] { write_png(folder / "x.png", image); })->status == 73);
  write_png(folder / "x.png", image, {}, {.force = true});
}

TEST_CASE("what is no image or no text is refused by the writer") {
  CHECK(failure_of([] { encode_png(raster(4, 4, 2)); })->status == 70);
  CHECK(failure_of([] { encode_png({4, 4, 1, {}}); })->status == 70);
  CHECK(failure_of([] { encode_png({0, 4, 1, {}}); })->status == 70);
  for (std::string const& key : {std::string(), std::string(80, 'k'), std::string(" k"),
                                 std::string("k "), std::string("a  b"), std::string("\xc3\xa9")}) {
    CHECK(failure_of([&] { encode_png(raster(2, 2, 1), {{key, "v"}}); })->status == 70);
  }
  CHECK(failure_of([] {
          encode_png(raster(2, 2, 1), {{"k", std::string(1, '\0')}});
        })->status == 70);
}

TEST_CASE("every form of PNG becomes 8-bit grey or RGB") {
  CHECK(decoded(encode({1, PNG_COLOR_TYPE_GRAY}, 3, 2, {0b10100000, 0b01000000})) ==
        Pixels{255, 0, 255, 0, 255, 0});
  CHECK(decoded(encode({4, PNG_COLOR_TYPE_GRAY}, 2, 1, {0x0f})) == Pixels{0, 255});
  CHECK(decoded(encode({8, PNG_COLOR_TYPE_PALETTE}, 2, 1, {1, 0})) ==
        Pixels{200, 100, 50, 10, 20, 30});
  CHECK(decoded(encode({8, PNG_COLOR_TYPE_GRAY_ALPHA}, 2, 1, {7, 0, 9, 255})) == Pixels{7, 9});
  CHECK(decoded(encode({8, PNG_COLOR_TYPE_RGB_ALPHA}, 1, 1, {1, 2, 3, 0})) == Pixels{1, 2, 3});
  CHECK(decoded(encode({16, PNG_COLOR_TYPE_GRAY}, 2, 1, {0xff, 0xff, 0x01, 0x00})) ==
        Pixels{255, 1});
  Raster const image = raster(11, 10, 3);
  CHECK(decoded(encode({8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_ADAM7}, 11, 10, image.pixels)) ==
        image.pixels);
}

TEST_CASE("a PNG file cut anywhere is no image") {
  std::vector<std::byte> const whole = encode_png(raster(9, 9, 1), {{"k", "v"}});
  for (std::size_t size = 0; size + 12 < whole.size(); ++size) {
    auto const failure = failure_of([&] { decode_png("x.png", std::span(whole).first(size)); });
    REQUIRE(failure.has_value());
    CHECK(failure->status == 65);
    CHECK(failure->message.starts_with("x.png: "));
  }
}

TEST_CASE("a flipped byte in the pixels is found") {
  std::vector<std::byte> bytes = encode_png(raster(30, 30, 3));
  bytes[bytes.size() / 2] ^= std::byte{0x10};
  CHECK(failure_of([&] { decode_png("x.png", bytes); })->code == "broken-image");
}

TEST_CASE("a PNG file that claims a huge size gets no memory") {
  // Only the header is read before the size is looked at; its checksum is right.
  auto const claim = [](std::uint32_t width, std::uint32_t height) {
    std::vector<std::byte> bytes = encode_png(raster(1, 1, 3));
    auto const put = [&](std::size_t at, std::uint32_t value) {
      for (unsigned i = 0; i < 4; ++i) {
        bytes[at + i] = static_cast<std::byte>(value >> (24 - 8 * i) & 255U);
      }
    };
    put(16, width);
    put(20, height);
    put(29, static_cast<std::uint32_t>(
                crc32(0, reinterpret_cast<unsigned char const*>(bytes.data() + 12), 17)));
    return failure_of([&] { decode_png("x.png", bytes); });
  };
  CHECK(contains(claim(100'000, 100'000)->message, "expected 1 to 67108864 pixels"));
  CHECK(contains(claim(0x7fffffff, 0x7fffffff)->message, "claims 2147483647 x 2147483647"));
  CHECK(contains(claim(8000, 8000)->message, "8000 x 8000 pixels in"));
  CHECK(claim(0, 5)->code == "broken-image");
  CHECK(contains(claim(2, 2)->message, "x.png: "));
}
