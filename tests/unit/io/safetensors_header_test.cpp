// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/safetensors_file.hpp>

#include <catch2/catch_test_macros.hpp>

#include "reader_fixture.hpp"

#include <chrono>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <tuple>

using namespace dashi;
using namespace dashi::reader_test;

namespace {

io::SafetensorsHeader parse(std::string const& file, io::ReadOptions const& options = {}) {
  return io::parse_safetensors_header("file", bytes_of(file), file.size(), options);
}

std::string const sample_header =
    R"({"__metadata__":{"format":"pt"},"a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
    R"("a.bias":{"dtype":"BF16","shape":[3],"data_offsets":[24,30]},)"
    R"("count":{"dtype":"I64","shape":[],"data_offsets":[30,38]}}    )";

std::string const sample = safetensors_bytes(sample_header, 38);

/// What a reader of the data acts upon, names and metadata aside: the ranges, in order, with
/// element width and count. Equal layouts move the same bytes in the same units.
std::multiset<std::tuple<std::uint64_t, std::uint64_t, int, std::uint64_t>> layout_of(
    io::SafetensorsHeader const& header) {
  std::multiset<std::tuple<std::uint64_t, std::uint64_t, int, std::uint64_t>> layout;
  for (io::TensorInfo const& info : header.tensors) {
    layout.emplace(info.begin, info.end, bits(info.dtype), info.elements());
  }
  return layout;
}

}  // namespace

TEST_CASE("a header becomes tensors in the order of their data") {
  io::SafetensorsHeader const h = parse(sample);
  REQUIRE(h.tensors.size() == 3);
  CHECK(h.data_begin == 8 + sample_header.size());
  CHECK(h.data_bytes() == 38);
  CHECK(h.metadata.at("format") == "pt");
  CHECK(h.warnings.empty());
  CHECK(h.tensors[0].name == "a.weight");
  CHECK(h.tensors[0].shape == std::vector<std::uint64_t>{2, 3});
  CHECK(h.tensors[1].dtype == io::Dtype::bf16);
  CHECK(h.tensors[2].elements() == 1);
  REQUIRE(h.find("a.bias") != nullptr);
  CHECK(h.find("a.bias")->begin == 24);
  CHECK(h.find("a") == nullptr);
  CHECK(h.find("zzz") == nullptr);
}

TEST_CASE("truncation at every byte of the header and beyond is rejected with both sizes") {
  std::mt19937_64 random(7);
  std::string const big = safetensors_bytes("{" + byte_entry("a", 0, 100000) + "}", 100000);
  auto const check = [](std::string const& whole, std::size_t size) {
    INFO(size);
    std::string const cut = whole.substr(0, size);
    auto const failure = failure_of([&] { parse(cut); });
    REQUIRE(failure);
    CHECK(failure->status == 65);
    CHECK(contains(failure->diagnosis.found, std::to_string(size) + " bytes"));
    std::size_t const header =
        whole.size() == sample.size() ? 8 + sample_header.size() : whole.size() - 100000;
    std::size_t const needed = size < 8 ? 8 : size < header ? header : whole.size();
    CHECK(contains(failure->diagnosis.expected, std::to_string(needed) + " bytes"));
  };
  for (std::size_t size = 0; size < sample.size(); ++size) {
    check(sample, size);
  }
  for (int i = 0; i < 100; ++i) {
    check(big, static_cast<std::size_t>(random() % big.size()));
  }
}

TEST_CASE("any flipped bit of the header is rejected or changes no byte range, width or count") {
  auto const original = layout_of(parse(sample));
  int accepted = 0;
  for (std::size_t bit = 0; bit < 8 * (8 + sample_header.size()); ++bit) {
    std::string flipped = sample;
    flipped[bit / 8] =
        static_cast<char>(static_cast<unsigned char>(flipped[bit / 8]) ^ (1U << bit % 8));
    try {
      io::SafetensorsHeader const h = parse(flipped);
      ++accepted;
      INFO("bit " << bit);
      CHECK(h.data_begin == 8 + sample_header.size());
      CHECK(layout_of(h) == original);
    } catch (FormatError const&) {
    }
  }
  // Letters of names and metadata may flip to other letters; structure may not.
  CHECK(accepted > 20);
  CHECK(accepted < static_cast<int>(sample_header.size()) * 3);
}

TEST_CASE("flipped data bits are accepted without a digest") {
  std::mt19937_64 random(8);
  for (int i = 0; i < 1000; ++i) {
    std::string flipped = sample;
    std::size_t const at = 8 + sample_header.size() + static_cast<std::size_t>(random() % 38);
    flipped[at] = static_cast<char>(static_cast<unsigned char>(flipped[at]) ^ (1U << random() % 8));
    CHECK(layout_of(parse(flipped)) == layout_of(parse(sample)));
  }
}

TEST_CASE("duplicate names are all named, up to twenty") {
  std::string header = "{";
  for (int copy = 0; copy < 3; ++copy) {
    for (int i = 0; i < 25; ++i) {
      header += (header.size() > 1 ? "," : "") + byte_entry("t" + std::to_string(100 + i), 0, 0);
    }
  }
  auto const failure = failure_of([&] { parse(safetensors_bytes(header + "}", 0)); });
  REQUIRE(failure);
  CHECK(failure->code == "duplicate-key");
  CHECK(contains(failure->message, "25 tensor names more than once: 't100', 't101'"));
  CHECK(contains(failure->message, "'t119' and 5 more"));
  CHECK_FALSE(contains(failure->message, "t120"));
}

TEST_CASE("messages of limits state the limit") {
  auto const message = [](std::string const& shape) {
    std::string const text =
        R"({"a":{"dtype":"U8","shape":)" + shape + R"(,"data_offsets":[0,0]}})";
    auto const failure = failure_of([&] { parse(safetensors_bytes(text, 0)); });
    return failure ? failure->message : "";
  };
  CHECK(contains(message("[0,9223372036854775808]"), "at most 281474976710656 (2^48"));
  CHECK(contains(message("[0,1,1,1,1,1,1,1,1]"), "rank at most 8 (this reader's limit)"));
  CHECK(contains(message("[1099511627776,1099511627776,0]"), "at most 2^48 elements"));
}

TEST_CASE("the number of tensors is limited") {
  std::string const file =
      safetensors_bytes("{" + byte_entry("a", 0, 1) + "," + byte_entry("b", 1, 2) + "}", 2);
  CHECK(parse(file, {.max_tensors = 2}).tensors.size() == 2);
  auto const failure = failure_of([&] { parse(file, {.max_tensors = 1}); });
  REQUIRE(failure);
  CHECK(failure->code == "too-many-tensors");
}

TEST_CASE("warnings of odd names are bounded and safe to print") {
  std::string header = "{";
  for (int i = 0; i < 30; ++i) {
    header += (i > 0 ? "," : "") + byte_entry("../" + std::to_string(i) + "\\u001b[31m", 0, 0);
  }
  io::SafetensorsHeader const h = parse(safetensors_bytes(header + "}", 0));
  REQUIRE(h.warnings.size() == 1);
  CHECK(contains(h.warnings[0], "30 tensor names"));
  CHECK(contains(h.warnings[0], "and 10 more"));
  CHECK(contains(escaped(h.warnings[0]), "'../0\\x1b[31m'"));
}

TEST_CASE("lenient reading warns of what it lets pass") {
  std::string const space = safetensors_bytes(" {}", 0);
  CHECK(parse(space, {.lenient = true}).warnings.size() == 1);
  std::string const field = safetensors_bytes(
      R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"scale":[1.5,{"x":null}]}})", 0);
  io::SafetensorsHeader const h = parse(field, {.lenient = true});
  REQUIRE(h.warnings.size() == 1);
  CHECK(contains(h.warnings[0], "'scale'"));
}

TEST_CASE(
    "a header of 100 MB with a million tensors is read in seconds, one byte more is refused") {
  constexpr std::size_t limit = 100'000'000;
  std::string header = "{";
  header.reserve(limit);
  std::size_t count = 0;
  for (; header.size() < limit - 120; ++count) {
    header +=
        (count > 0 ? "," : "") +
        byte_entry("layer." + std::to_string(10'000'000 + count) + ".weight.a", count, count + 1);
  }
  header += "}";
  header.resize(limit - 1, ' ');
  std::string file = safetensors_bytes(header, 0);
  auto const start = std::chrono::steady_clock::now();
  io::SafetensorsHeader const h =
      io::parse_safetensors_header("file", bytes_of(file), file.size() + count);
  std::chrono::duration<double> const seconds = std::chrono::steady_clock::now() - start;
  INFO(count << " tensors in " << seconds.count() << " s");
  CHECK(count > 900'000);
  CHECK(h.tensors.size() == count);
  CHECK(seconds.count() < 30);  // about 1 s optimised; sanitizers and slow machines need more

  std::string too_long(16, '\0');
  std::uint64_t const n = limit + 1;
  std::memcpy(too_long.data(), &n, 8);
  too_long[8] = '{';
  auto const failure =
      failure_of([&] { io::parse_safetensors_header("file", bytes_of(too_long), n + 100); });
  REQUIRE(failure);
  CHECK(failure->code == "header-too-large");
  CHECK(contains(failure->message, "at most 100000000 bytes"));
}
