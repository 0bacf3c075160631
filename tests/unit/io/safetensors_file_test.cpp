// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/io/boolean_tensor.hpp>
#include <dashi/io/safetensors_file.hpp>

#include <catch2/catch_test_macros.hpp>

#include "reader_fixture.hpp"

#include <array>
#include <cstring>
#include <fstream>
#include <string>

using namespace dashi;
using namespace dashi::reader_test;

TEST_CASE("tensor bytes are read from any data offset") {
  ScratchDirectory const scratch;
  std::string header = "{" + byte_entry("a", 0, 5) + "," + byte_entry("b", 5, 12) + "}";
  for (int pad = 0; pad < 2; ++pad) {
    header += std::string(static_cast<std::size_t>(pad), ' ');
    io::SafetensorsFile const file(scratch.write("x", safetensors_bytes(header, 12)));
    std::array<std::byte, 3> out{};
    file.read(*file.header().find("b"), 4, out);
    CHECK(out == std::array{std::byte{9}, std::byte{10}, std::byte{11}});
    auto const failure = failure_of([&] { file.read(*file.header().find("a"), 3, out); });
    REQUIRE(failure);
    CHECK(failure->status == 70);
  }
}

TEST_CASE("a file that shrinks between opening and reading ends with 74") {
  ScratchDirectory const scratch;
  auto const path = scratch.write("x", safetensors_bytes("{" + byte_entry("a", 0, 100) + "}", 100));
  io::SafetensorsFile const file(path);
  std::filesystem::resize_file(path, file.header().data_begin + 50);
  std::array<std::byte, 100> out{};
  auto const failure = failure_of([&] { file.read(*file.header().find("a"), 0, out); });
  REQUIRE(failure);
  CHECK(failure->status == 74);
}

TEST_CASE("files of other formats are named with what to do") {
  ScratchDirectory const scratch;
  using namespace std::string_literals;
  std::vector<std::array<std::string, 3>> const files{
      {"\x80\x02}q\0X\x01\0\0\0a"s, "a Python pickle", "convert it"},
      {"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19."s, "a Python pickle", "torch.load("},
      {"PK\x03\x04 ..... archive/data.pkl ....."s, "a PyTorch checkpoint", "save_file("},
      {"PK\x03\x04 ..... readme ............"s, "a zip archive", "unpack it"},
      {"\x89HDF\r\n\x1a\n .........."s, "an HDF5 file", "convert it"},
      {"GGUF\x03\0\0\0........"s, "a GGUF model", "convert it"},
      {"\n<!DOCTYPE HTML><html><body>"s, "an HTML page", "download"},
      {"<html lang=\"en\"><head>"s, "an HTML page", "download"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"s, "a Git LFS pointer",
       "git lfs pull"},
      {"\x1f\x8b\x08\0......................."s, "a gzip archive", "gunzip"},
      {"\x89PNG\r\n\x1a\n .............."s, "a PNG image", "model file"},
      {"{\"metadata\": {}, \"weight_map\": {}}"s, "a JSON text", "index"},
      {"Entry not found here"s, "a text", "error message"}};
  for (auto const& [content, kind, advice] : files) {
    INFO(kind);
    auto const path = scratch.write("model.safetensors", content);
    auto const failure = failure_of([&] { io::SafetensorsFile const file(path); });
    REQUIRE(failure);
    CHECK(failure->status == 65);
    CHECK(failure->code == "foreign-format");
    CHECK(contains(failure->message, kind));
    CHECK(contains(failure->diagnosis.advice, advice));
  }
}

TEST_CASE("header lengths that look like magic numbers are no other format") {
  ScratchDirectory const scratch;
  // 0x8b1f and 0x685a42 spell the magic numbers of gzip and bzip2.
  for (std::size_t const length : {std::size_t{0x8b1f}, std::size_t{0x685a42}}) {
    std::string header = "{" + byte_entry("a", 0, 1) + "}";
    header.resize(length, ' ');
    std::string const whole = safetensors_bytes(header, 1);
    CHECK(io::SafetensorsFile(scratch.write("x", whole)).header().tensors.size() == 1);
    for (std::size_t const cut : {std::size_t{8}, std::size_t{100}, whole.size() - 1}) {
      auto const path = scratch.write("x", whole.substr(0, cut));
      auto const failure = failure_of([&] { io::SafetensorsFile const file(path); });
      REQUIRE(failure);
      CHECK(failure->code != "foreign-format");
    }
  }
}

TEST_CASE("BOOL bytes other than 0 and 1 are copied but not interpreted") {
  ScratchDirectory const scratch;
  std::string const header = R"({"m":{"dtype":"BOOL","shape":[4],"data_offsets":[0,4]}})";
  io::SafetensorsFile const file(scratch.write("x", safetensors_bytes(header, 4)));
  io::TensorInfo const& mask = *file.header().find("m");
  std::array<std::byte, 4> raw{};
  file.read(mask, 0, raw);
  CHECK(raw[3] == std::byte{3});
  std::array<std::uint8_t, 4> values{};
  io::read_booleans(file, mask, 0, std::span(values).first(2));
  CHECK(values[1] == 1);
  auto const failure = failure_of([&] { io::read_booleans(file, mask, 0, values); });
  REQUIRE(failure);
  CHECK(failure->status == 65);
  CHECK(contains(failure->message, "tensor 'm', element 2: byte 2, expected 0 or 1"));
}

TEST_CASE("a sparse file with a real header is read however large it is") {
  ScratchDirectory const scratch;
  std::uint64_t const bytes = std::uint64_t{1} << 42;
  std::string const header =
      R"({"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}})";
  auto const path = scratch.write("x", safetensors_bytes(header, 0));
  if (::truncate(path.c_str(), static_cast<off_t>(8 + header.size() + bytes)) != 0) {
    SKIP("the file system has no files of 4 TiB");
  }
  io::SafetensorsFile const file(path);
  CHECK(file.header().data_bytes() == bytes);
  std::array<std::byte, 8> out{};
  file.read(file.header().tensors[0], bytes - 8, out);
}
