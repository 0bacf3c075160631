// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/safetensors_header.hpp>
#include <dashi/io/safetensors_layout.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "reader_fixture.hpp"

using namespace dashi::io;
using dashi::reader_test::contains;
using dashi::reader_test::failure_of;

namespace {

std::string text_of(SafetensorsLayout const& layout) {
  return {reinterpret_cast<char const*>(layout.header().data()), layout.header().size()};
}

void refuse(std::vector<TensorSpec> specs, std::string_view part) {
  auto const failure =
      failure_of([&] { SafetensorsLayout(std::move(specs), {}, "out.safetensors"); });
  REQUIRE(failure);
  CAPTURE(failure->message);
  CHECK(failure->status == 65);
  CHECK(failure->diagnosis.file == "out.safetensors");
  CHECK(contains(failure->message, part));
}

}  // namespace

TEST_CASE("the header has known bytes") {
  SafetensorsLayout const layout({{"b", Dtype::f32, {2, 3}}, {"a\"\xc3\xa9", Dtype::u8, {}}},
                                 {{"z", "1"}, {"k", "line\nline"}});
  std::string expected("\xf8\x0f\0\0\0\0\0\0", 8);
  expected +=
      "{\"__metadata__\":{\"k\":\"line\\nline\",\"z\":\"1\"},"
      "\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
      "\"a\\\"\xc3\xa9\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[24,25]}}";
  expected.resize(4096, ' ');
  CHECK(text_of(layout) == expected);
  CHECK(layout.data_begin() == 4096);
  CHECK(layout.data_bytes() == 25);
  CHECK(layout.file_size() == 4121);
}

TEST_CASE("an empty layout is an empty object; empty metadata are left out") {
  SafetensorsLayout const layout({});
  CHECK(text_of(layout).substr(8, 3) == "{} ");
  CHECK(layout.file_size() == 4096);
  CHECK(text_of(SafetensorsLayout({}, {{"a", ""}})).substr(8, 27) ==
        "{\"__metadata__\":{\"a\":\"\"}}  ");
}

TEST_CASE("headers of every length end at a multiple of 4096") {
  for (std::size_t length = 3980; length < 4080; ++length) {
    SafetensorsLayout const layout({{std::string(length, 'n'), Dtype::u8, {1}}});
    std::string const text = text_of(layout);
    std::size_t const end = text.find_last_not_of(' ') + 1;
    CHECK(text.size() == (end <= 4096 ? 4096U : 8192U));
  }
}

TEST_CASE("tensors lie by width and name, whatever order they come in") {
  std::vector<TensorSpec> specs{
      {"i", Dtype::i64, {2}},    {"f", Dtype::f64, {1}},     {"s", Dtype::f32, {}},
      {"h2", Dtype::f16, {3}},   {"h1", Dtype::bf16, {5}},   {"h10", Dtype::u16, {1}},
      {"y", Dtype::boolean, {}}, {"e", Dtype::f8_e4m3, {3}}, {"six", Dtype::f6_e2m3, {4}},
      {"four", Dtype::f4, {2}},  {"z", Dtype::f32, {0, 7}}};
  SafetensorsLayout const first(specs, {{"a", "1"}, {"b", "2"}});
  std::vector<std::string> names;
  for (TensorInfo const& tensor : first.tensors()) {
    names.push_back(tensor.name);
    auto const width = static_cast<std::uint64_t>(bits(tensor.dtype) / 8);
    CHECK((width == 0 || tensor.begin % width == 0));
  }
  CHECK(names ==
        std::vector<std::string>{"f", "i", "s", "z", "h1", "h10", "h2", "e", "y", "six", "four"});
  std::mt19937 random(3);
  for (int i = 0; i < 20; ++i) {
    std::shuffle(specs.begin(), specs.end(), random);
    SafetensorsLayout const again(specs, {{"b", "2"}, {"a", "1"}});
    REQUIRE(text_of(again) == text_of(first));
    for (std::size_t s = 0; s < specs.size(); ++s) {
      REQUIRE(again.tensors()[again.position(s)].name == specs[s].name);
      REQUIRE(again.find(specs[s].name) == again.position(s));
    }
    REQUIRE_FALSE(again.find("absent"));
  }
}

TEST_CASE("the strict reader takes every header that the writer makes") {
  std::vector<TensorSpec> specs;
  for (std::size_t d = 0; d < dtype_count; ++d) {
    auto const dtype = static_cast<Dtype>(d);
    specs.push_back({"m." + std::string(name(dtype)), dtype, {4, 1, 6}});
    specs.push_back({"empty." + std::string(name(dtype)), dtype, {3, 0}});
  }
  specs.push_back({"quote\" back\\slash \xe2\x82\xac", Dtype::f32, {1, 1, 1, 1, 1, 1, 1, 1}});
  specs.push_back({"large", Dtype::u8, {largest_number / 2}});
  std::map<std::string, std::string> const metadata{
      {"", ""}, {"\n", "\t\"\\"}, {"\xf0\x9f\x98\x80", "x"}};
  SafetensorsLayout const layout(specs, metadata);
  auto const header = parse_safetensors_header("made", layout.header(), layout.file_size());
  CHECK(header.warnings.size() == 1);  // the reader remarks on the backslash
  CHECK(header.metadata == metadata);
  CHECK(header.data_begin == layout.data_begin());
  REQUIRE(header.tensors.size() == specs.size());
  for (TensorSpec const& spec : specs) {
    TensorInfo const* const found = header.find(spec.name);
    REQUIRE(found != nullptr);
    CHECK(TensorSpec{found->name, found->dtype, found->shape} == spec);
    TensorInfo const& ours = layout.tensors()[*layout.find(spec.name)];
    CHECK(found->begin == ours.begin);
    CHECK(found->end == ours.end);
  }
}

TEST_CASE("tensors that a strict reader would refuse are not written") {
  refuse({{"a", Dtype::u8, {1}}, {"b", Dtype::u8, {1}}, {"a", Dtype::f32, {2}}}, "used twice");
  refuse({{"", Dtype::u8, {1}}}, "empty name");
  refuse({{"__metadata__", Dtype::u8, {1}}}, "metadata");
  refuse({{"a\nb", Dtype::u8, {1}}}, "control character");
  refuse({{std::string("a\0b", 3), Dtype::u8, {1}}}, "control character");
  refuse({{"\xc2\x85", Dtype::u8, {1}}}, "control character");
  refuse({{"\xff", Dtype::u8, {1}}}, "UTF-8");
  refuse({{"../etc", Dtype::u8, {1}}}, "like a path");
  refuse({{"/etc", Dtype::u8, {1}}}, "like a path");
  refuse({{"a/../b", Dtype::u8, {1}}}, "like a path");
  refuse({{"a", Dtype::u8, {1, 1, 1, 1, 1, 1, 1, 1, 1}}}, "rank 9");
  refuse({{"a", Dtype::u8, {largest_number + 1}}}, "2^48");
  refuse({{"a", Dtype::u8, {0, ~std::uint64_t{0}}}}, "2^48");
  refuse({{"a", Dtype::f32, {std::uint64_t{1} << 24, std::uint64_t{1} << 24}}}, "2^48");
  refuse({{"a", Dtype::u8, {std::uint64_t{1} << 40, std::uint64_t{1} << 40, 0}}}, "2^48");
  refuse({{"a", Dtype::u8, {largest_number}}, {"b", Dtype::u8, {1}}}, "shards");
  refuse({{"a", Dtype::f4, {3}}}, "whole bytes");
  refuse({{"a", Dtype::f6_e3m2, {2}}}, "whole bytes");
}

TEST_CASE("names that are merely odd are written") {
  for (char const* name :
       {"a..b", "a/b", "..a", "model.diffusion_model.0.weight", "\xe2\x80\xa8", " "}) {
    CAPTURE(name);
    CHECK_NOTHROW(SafetensorsLayout({{name, Dtype::u8, {1}}}));
  }
}

TEST_CASE("metadata must be UTF-8") {
  auto const failure = failure_of([] { SafetensorsLayout({}, {{"k", "\xff"}}, "out"); });
  REQUIRE(failure);
  CHECK(failure->status == 65);
  CHECK(failure_of([] { SafetensorsLayout({}, {{"\xff", ""}}, "out"); }));
}

TEST_CASE("a header above the format's limit is refused") {
  auto const make = [](std::size_t size) {
    SafetensorsLayout const layout({}, {{"k", std::string(size, 'x')}}, "out");
    return layout.data_begin();
  };
  CHECK(make(99'999'000) == 99'999'744);
  auto const failure = failure_of([&] { make(99'999'800); });
  REQUIRE(failure);
  CHECK(failure->status == 65);
  CHECK(failure->code == "header-too-large");
}

TEST_CASE("metadata of the same length can be replaced") {
  SafetensorsLayout layout({{"a", Dtype::u8, {1}}}, {{"digest", "0000"}});
  layout.replace_metadata({{"digest", "abcd"}});
  CHECK(text_of(layout) ==
        text_of(SafetensorsLayout({{"a", Dtype::u8, {1}}}, {{"digest", "abcd"}})));
  auto const failure = failure_of([&] {
    layout.replace_metadata({{"digest", std::string(5000, 'a')}});
  });
  REQUIRE(failure);
  CHECK(failure->status == 70);
}
