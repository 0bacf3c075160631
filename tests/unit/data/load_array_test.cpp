// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sets in one file: .npy, IDX, CSV, safetensors.
#include <dashi/data/load.hpp>

#include <zlib.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "data_fixture.hpp"
#include "shared_data.hpp"

using namespace dashi;
using namespace dashi::data;
using namespace dashi::test;

namespace {

template <class T>
std::string bytes_of(std::vector<T> const& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// As numpy.save writes it, version 1.
std::string npy(std::string const& descr, std::string const& shape, std::string const& data,
                std::string const& order = "False") {
  std::string header =
      "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
  while ((10 + header.size() + 1) % 64 != 0) {
    header += ' ';
  }
  header += '\n';
  std::string file = "\x93NUMPY";
  file += '\x01';
  file += '\0';
  file += static_cast<char>(header.size() & 255U);
  file += static_cast<char>(header.size() >> 8);
  return file + header + data;
}

std::string idx(std::vector<std::uint32_t> const& shape, std::string const& data) {
  std::string file{'\0', '\0', '\x08', static_cast<char>(shape.size())};
  for (std::uint32_t const extent : shape) {
    for (unsigned i = 4; i-- > 0;) {
      file += static_cast<char>(extent >> (8 * i) & 255U);
    }
  }
  return file + data;
}

std::string gzipped(std::string const& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(text.size() + 1000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

/// Entries are name, dtype, shape, data.
struct Tensor {
  std::string name, dtype, shape, data;
};

std::string safetensors(std::vector<Tensor> const& tensors) {
  std::string header = "{";
  std::string data;
  for (Tensor const& t : tensors) {
    header += (header.size() > 1 ? "," : "") + std::string("\"") + t.name + "\":{\"dtype\":\"" +
              t.dtype + "\",\"shape\":" + t.shape + ",\"data_offsets\":[" +
              std::to_string(data.size()) + "," + std::to_string(data.size() + t.data.size()) +
              "]}";
    data += t.data;
  }
  header += "}";
  std::uint64_t const length = header.size();
  return bytes_of(std::vector<std::uint64_t>{length}) + header + data;
}

std::vector<std::uint8_t> const two_images{0, 51, 102, 153, 204, 255, 255, 0, 0, 0, 0, 255};

std::string message(std::filesystem::path const& path, LoadOptions const& options = {}) {
  auto const failure = failure_of([&] { load(path, options); });
  REQUIRE(failure.has_value());
  CHECK(failure->status == 65);
  CHECK_FALSE(contains(failure->message, "\n"));
  return failure->message;
}

}  // namespace

TEST_CASE("8-bit .npy arrays are images") {
  DataFolder const folder;
  auto const path = folder.write("x.npy", npy("|u1", "(2, 2, 3)", bytes_of(two_images)));
  folder.write("x.labels.npy", npy("<i8", "(2,)", bytes_of(std::vector<std::int64_t>{4, 1})));
  LoadOptions options;
  ImageSet const set = load(path, options);
  CHECK(set.size() == 2);
  CHECK(set.shape() == ImageShape{1, 2, 3});
  CHECK(set.classes() == 5);
  CHECK(set.class_names() == std::vector<std::string>{"0", "1", "2", "3", "4"});
  CHECK(set.label(0) == 4);
  CHECK(image(set, 0) == std::vector<float>{-1.0F, -0.6F, -0.2F, 0.2F, 0.6F, 1.0F});
  CHECK(set.memory() == 12);

  options.classes = {"1"};
  options.label_offset = 7;
  ImageSet const chosen = load(path, options);
  CHECK(chosen.size() == 1);
  CHECK(chosen.label(0) == 7);
  CHECK(image(chosen, 0) == std::vector<float>{1.0F, -1.0F, -1.0F, -1.0F, -1.0F, 1.0F});

  options = {};
  options.size = 1;
  options.resize = Resize::box;
  options.channels = 3;
  ImageSet const small = load(path, options);
  CHECK(small.shape() == ImageShape{3, 1, 1});
  CHECK(byte_image(small, 0) == std::vector<std::uint8_t>{128, 128, 128});
  options.resize = Resize::none;
  CHECK(contains(message(path, options), "choose a resize rule"));
}

TEST_CASE("arrays of floats are taken as they are") {
  DataFolder const folder;
  std::vector<double> values(2 * 4 * 1 * 2);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = 0.3 * static_cast<double>(i) - 2;
  }
  auto const doubles = folder.write("d.npy", npy("<f8", "(2, 4, 1, 2)", bytes_of(values)));
  std::vector<float> const singles(values.begin(), values.end());
  auto const floats = folder.write("f.npy", npy("<f4", "(2, 4, 1, 2)", bytes_of(singles)));
  auto const labels = folder.write("labels.idx", idx({2}, std::string{'\x01', '\x00'}));
  LoadOptions options;
  options.labels = labels;
  for (auto const& path : {doubles, floats}) {
    ImageSet const set = load(path, options);
    CHECK(set.shape() == ImageShape{4, 1, 2});
    CHECK(set.label(0) == 1);
    CHECK(image(set, 1) == std::vector<float>(singles.begin() + 8, singles.end()));
  }
  CHECK(load(floats, options).digest() == load(doubles, options).digest());
  options.invert = true;
  CHECK(image(load(floats, options), 0)[0] == 2.0F);
  options.size = 4;
  CHECK(contains(message(floats, options), "taken as they are"));

  options = {};
  options.class_depth = 0;
  ImageSet const unlabelled = load(floats, options);
  CHECK(unlabelled.class_names() == std::vector<std::string>{"all"});
  CHECK(unlabelled.label(1) == 0);
  double const bad = GENERATE(std::numeric_limits<double>::quiet_NaN(),
                              -std::numeric_limits<double>::infinity(), 1e300);
  values[11] = bad;
  folder.write("d.npy", npy("<f8", "(2, 4, 1, 2)", bytes_of(values)));
  CHECK(contains(message(doubles, options), "d.npy: image 1, number 3: "));
}

TEST_CASE("what is wrong with an .npy file or its labels is said") {
  DataFolder const folder;
  std::string const data = bytes_of(two_images);
  auto const path = folder / "x.npy";
  LoadOptions options;
  folder.write("x.npy", npy("|u1", "(2, 2, 3)", data));
  CHECK(contains(message(path),
                 "has no labels, expected them in " + (folder / "x.labels.npy").string()));
  folder.write("x.labels.npy", npy("|u1", "(3,)", std::string("\0\1\2", 3)));
  CHECK(contains(message(path), "holds 3 labels, expected 2, one for each image of"));
  folder.write("x.labels.npy", npy("<i4", "(2,)", bytes_of(std::vector<std::int32_t>{0, -1})));
  CHECK(contains(message(path), "x.labels.npy: image 1: label -1, expected 0 to"));
  folder.write("x.labels.npy", npy("<i2", "(2,)", bytes_of(std::vector<std::int16_t>{0, 3})));
  options.class_count = 3;
  CHECK(contains(message(path, options), "image 1: label 3, expected 0 to 2"));
  options.class_count = 9;
  CHECK(load(path, options).classes() == 9);
  folder.write("x.labels.npy", npy("<f4", "(2,)", std::string(8, '\0')));
  CHECK(contains(message(path), "labels: a vector of integers"));
  std::filesystem::remove(folder / "x.labels.npy");

  options = {};
  options.class_depth = 0;
  for (auto const& [file, text] : std::vector<std::pair<std::string, std::string>>{
           {npy("|u1", "(2, 2, 3)", data.substr(1)), "data of 11 bytes, expected 12"},
           {npy("|u1", "(2, 2, 3)", data, "True"), "Fortran order"},
           {npy("<i4", "(1, 1, 3)", data), "elements of type '<i4'"},
           {npy(">f4", "(1, 1, 3)", data), "little-endian"},
           {npy("|u1", "(12,)", data), "an array of rank 1"},
           {npy("|u1", "(0, 2, 3)", ""), "holds no image"},
           {npy("|u1", "(4294967296, 4294967296, 4294967296)", data), "2^48"},
           {npy("|u1", "(99999999999999999999, 1, 1)", data), "2^40"},
           {npy("|u1", "(2, -2, 3)", data), "the shape (2, -2, 3)"},
           {npy("|u1", "(2, 2, 3)", data).substr(0, 40), "header"},
           {"\x93NUMPY\x09\x09" + std::string(40, 'x'), "version 9"}}) {
    folder.write("x.npy", file);
    CHECK(contains(message(path, options), text));
  }
}

TEST_CASE("IDX files are read in pairs, as MNIST names them") {
  DataFolder const folder;
  bool const packed = GENERATE(false, true);
  auto const put = [&](std::string const& name, std::string const& content) {
    return folder.write(name + (packed ? ".gz" : ""), packed ? gzipped(content) : content);
  };
  auto const path = put("train-images-idx3-ubyte", idx({2, 2, 3}, bytes_of(two_images)));
  CHECK(contains(message(path), "train-labels-idx1-ubyte"));
  put("train-labels-idx1-ubyte", idx({2}, std::string("\3\1")));
  ImageSet const set = load(path);
  CHECK(set.size() == 2);
  CHECK(set.shape() == ImageShape{1, 2, 3});
  CHECK(set.label(0) == 3);
  CHECK(byte_image(set, 1) == std::vector<std::uint8_t>{255, 0, 0, 0, 0, 255});
  put("train-labels-idx1-ubyte", idx({3}, std::string("\3\1\1")));
  CHECK(contains(message(path), "holds 3 labels, expected 2"));
  put("train-images-idx3-ubyte", idx({3, 2, 3}, bytes_of(two_images)));
  CHECK(contains(message(path), "holds 12 bytes of data, expected 18"));
  put("train-images-idx3-ubyte", idx({0xffffffff, 0xffffffff, 0xffffffff}, ""));
  CHECK(contains(message(path), "2^48"));
}

TEST_CASE("a gzip file that is cut off or damaged is refused") {
  DataFolder const folder;
  std::string whole = gzipped("0,1,2,3,7\n4,5,6,7,8\n");
  LoadOptions options;
  options.maximum = 8;
  CHECK(load(folder.write("x.csv.gz", whole), options).size() == 2);
  CHECK(load(folder.write("x.csv.gz", whole + gzipped("1,1,1,1,1\n")), options).size() == 3);
  for (std::size_t size = 3; size < whole.size(); size += 5) {
    auto const path = folder.write("x.csv.gz", std::string_view(whole).substr(0, size));
    CHECK(contains(message(path, options), "x.csv.gz: the file ends early"));
  }
  whole[whole.size() - 6] = static_cast<char>(whole[whole.size() - 6] ^ 1);
  CHECK(contains(message(folder.write("x.csv.gz", whole), options), "zlib says"));
  CHECK(contains(message(folder.write("x.csv.gz", gzipped("1\n") + "tail"), options), "zlib says"));
  std::string const bomb = gzipped(std::string(100'000, '0'));
  CHECK(contains(
      failure_of([&] { io::gunzip("bomb", std::as_bytes(std::span(bomb)), 5000); })->message,
      "holds more than 5000 bytes"));
}

TEST_CASE("CSV lines are images with a label") {
  DataFolder const folder;
  LoadOptions options;
  options.maximum = 16;
  auto const path = folder.write("x.csv", "a,b,c,d,label\r\n0, 4,8,16,2\r\n16,0,0,0,0\r\n");
  ImageSet const set = load(path, options);
  CHECK(set.size() == 2);
  CHECK(set.shape() == ImageShape{1, 2, 2});
  CHECK(set.label(0) == 2);
  CHECK(image(set, 0) == std::vector<float>{-1.0F, -0.5F, 0.0F, 1.0F});
  options.label_first = true;
  folder.write("x.csv", "2,0,4,8,16");
  CHECK(image(load(path, options), 0) == std::vector<float>{-1.0F, -0.5F, 0.0F, 1.0F});
  options = {};
  options.maximum = 16;
  options.class_depth = 0;
  options.channels = 3;
  folder.write("x.csv", "0,8,16\n");
  CHECK(load(path, options).shape() == ImageShape{3, 1, 1});

  options = {};
  options.maximum = 16;
  for (auto const& [text, said] : std::vector<std::pair<std::string, std::string>>{
           {"0,1,2,3,4\n0,1,x,3,4\n", "line 2: 'x', expected a number"},
           {"0,1,2,3,4\n0,1,,3,4\n", "line 2: '', expected a number"},
           {"0,1,2,3,4\n0,1,2,3\n", "line 2: 4 fields, expected 5"},
           {"0,1,2,3,4\n0,17,2,3,4\n", "line 2, column 2: 17"},
           {"0,1,nan,3,4\n", "line 1, column 3: NaN, expected 0 to 16"},
           {"0,1,inf,3,4\n", "line 1, column 3"},
           {"0,1,2,3,4.5\n", "line 1: label 4.5"},
           {"0,1,2,3,-4\n", "image 0: label -4"},
           {"0,1,2,4\n", "lines of 4 fields, expected a square image"},
           {"a,b\n", "holds no image"}}) {
    folder.write("x.csv", text);
    CHECK(contains(message(path, options), said));
  }
}

TEST_CASE("latents come from safetensors") {
  DataFolder const folder;
  std::vector<float> const values{0.5F, -2.0F, 3.25F, 0.0F, 1.0F, -0.125F, 7.0F, 100.0F};
  std::vector<std::uint16_t> half, brain;
  for (float const x : values) {
    half.push_back(convert<Float16>(x).bits);
    brain.push_back(convert<BFloat16>(x).bits);
  }
  Tensor const labels{"labels", "I64", "[2]", bytes_of(std::vector<std::int64_t>{1, 0})};
  auto const path = folder / "x.safetensors";
  for (auto const& [dtype, data] : std::vector<std::pair<std::string, std::string>>{
           {"F32", bytes_of(values)}, {"F16", bytes_of(half)}, {"BF16", bytes_of(brain)}}) {
    folder.write("x.safetensors", safetensors({{"latents", dtype, "[2,4,1,1]", data}, labels}));
    ImageSet const set = load(path);
    CHECK(set.size() == 2);
    CHECK(set.shape() == ImageShape{4, 1, 1});
    CHECK(set.label(0) == 1);
    CHECK(image(set, 0) == std::vector<float>(values.begin(), values.begin() + 4));
    CHECK(image(set, 1) == std::vector<float>(values.begin() + 4, values.end()));
  }
  Tensor const latents{"latents", "F32", "[2,4,1,1]", bytes_of(values)};
  folder.write("x.safetensors", safetensors({latents}));
  CHECK(contains(message(path), "has no labels"));
  LoadOptions options;
  options.class_depth = 0;
  CHECK(load(path, options).size() == 2);
  folder.write("x.safetensors", safetensors({labels}));
  CHECK(contains(message(path), "tensor 'latents': is not there"));
  folder.write("x.safetensors", safetensors({{"latents", "F32", "[8]", bytes_of(values)}, labels}));
  CHECK(contains(message(path), "is F32 [8], expected F32, F16 or BF16 of rank 4"));
  folder.write("x.safetensors",
               safetensors({latents, {"labels", "I64", "[1]", std::string(8, '\0')}}));
  CHECK(contains(message(path), "holds 1 labels, expected 2"));
  folder.write("x.safetensors",
               safetensors({latents, {"labels", "I32", "[2]", std::string(8, '\0')}}));
  CHECK(contains(message(path), "is I32 [2], expected I64 of rank 1"));
}

TEST_CASE("a file of another kind is refused") {
  DataFolder const folder;
  CHECK(contains(message(folder.write("x.png", png_of(4, 4, 1))), "class folders"));
  CHECK(contains(message(folder.write("x.txt", "hello")), "is no data set that is known"));
  CHECK(failure_of([&] { load(folder / "missing.csv"); })->status == 66);
  LoadOptions options;
  options.maximum = 0;
  CHECK(failure_of([&] { load(folder / "x.txt", options); })->status == 2);
}

TEST_CASE("the digits are read from their packed table") {
  LoadOptions options;
  options.maximum = 16;
  ImageSet const set = load(shared_data("data/digits/digits.csv.gz"), options);
  CHECK(set.size() == 1797);
  CHECK(set.shape() == ImageShape{1, 8, 8});
  CHECK(set.classes() == 10);
  std::vector<int> counts(10);
  for (std::size_t i = 0; i < set.size(); ++i) {
    ++counts[static_cast<std::size_t>(set.label(i))];
    for (float const x : image(set, i)) {
      CHECK((x >= -1 && x <= 1 && x * 8 == std::floor(x * 8)));
    }
  }
  CHECK(counts == std::vector<int>{178, 182, 177, 183, 181, 182, 181, 179, 174, 180});
}
