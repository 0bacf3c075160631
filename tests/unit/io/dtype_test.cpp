// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/dtype.hpp>
#include <dashi/io/tensor_info.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstddef>
#include <map>
#include <string>

using namespace dashi::io;

TEST_CASE("dtypes have the format's spelling and width") {
  std::map<std::string, int> const widths{
      {"BOOL", 8}, {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},
      {"I8", 8},   {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8},     {"I16", 16},
      {"U16", 16}, {"F16", 16},    {"BF16", 16},   {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
      {"I32", 32}, {"U32", 32},    {"F32", 32},    {"C64", 64},        {"F64", 64},
      {"I64", 64}, {"U64", 64}};
  REQUIRE(widths.size() == dtype_count);
  for (auto const& [text, width] : widths) {
    INFO(text);
    auto const dtype = parse_dtype(text);
    REQUIRE(dtype);
    CHECK(name(*dtype) == text);
    CHECK(bits(*dtype) == width);
    CHECK(is_averaged(*dtype) ==
          (text == "F16" || text == "BF16" || text == "F32" || text == "F64"));
    CHECK(dtype_names().find(text) != std::string::npos);
  }
  for (char const* const text : {"", "f32", "F32 ", "F128", "BOOL2"}) {
    CHECK_FALSE(parse_dtype(text));
  }
}

TEST_CASE("a scalar has one element and any zero extent none") {
  TensorInfo info{.name = "a", .dtype = Dtype::f32, .shape = {}, .begin = 4, .end = 8};
  CHECK(info.elements() == 1);
  CHECK(info.bytes() == 4);
  CHECK(shape_text(info.shape) == "[]");
  info.shape = {7, 0};
  CHECK(info.elements() == 0);
  CHECK(shape_text(info.shape) == "[7, 0]");
}
