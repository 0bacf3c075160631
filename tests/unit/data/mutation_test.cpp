// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Files of strangers: whatever is done to their bytes, a set is loaded or a dashi::Error thrown.
#include <dashi/core/philox.hpp>
#include <dashi/data/load.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "data_fixture.hpp"

using namespace dashi;
using namespace dashi::data;
using namespace dashi::test;

namespace {

/// A few bytes changed, a part cut out, repeated, or the end cut off.
std::string mutated(std::string bytes, std::uint32_t number) {
  Philox const random(77, {.purpose = 0, .step = 0, .sample = number});
  auto const below = [&](std::uint64_t i, std::size_t limit) {
    return static_cast<std::size_t>(random.uniform<double>(i) * static_cast<double>(limit));
  };
  std::size_t const at = below(0, bytes.size());
  std::size_t const length = below(1, std::min<std::size_t>(bytes.size() - at, 40));
  switch (number % 5) {
    case 0: bytes.resize(at); break;
    case 1: bytes.erase(at, length); break;
    case 2: bytes.insert(at, bytes.substr(at, length)); break;
    default:
      for (std::uint64_t i = 0; i < 1 + number % 7; ++i) {
        bytes[below(2 + 2 * i, bytes.size())] = static_cast<char>(below(3 + 2 * i, 256));
      }
  }
  return bytes;
}

struct Outcome {
  int loaded = 0;
  int refused = 0;
};

Outcome load_mutants(DataFolder const& folder, std::string const& name, std::string const& bytes,
                     std::uint32_t count, LoadOptions const& options) {
  Outcome outcome;
  for (std::uint32_t number = 0; number < count; ++number) {
    auto const path = folder.write(name, mutated(bytes, number));
    auto const failure = failure_of([&] {
      ImageSet const set = load(path, options);
      for (std::size_t i = 0; i < set.size(); ++i) {
        image(set, i);
      }
    });
    ++(failure ? outcome.refused : outcome.loaded);
    if (failure) {
      CHECK((failure->status == 65 || failure->status == 66));
      CHECK_FALSE(contains(failure->message, "\n"));
    }
  }
  return outcome;
}

std::string text(std::vector<std::byte> const& bytes) {
  return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}

}  // namespace

TEST_CASE("mutated images are decoded or refused") {
  for (std::string const& file :
       {text(png_of(17, 13, 3)), text(jpeg_of(pattern(24, 16, 3))), text(png_of(40, 9, 1))}) {
    for (std::uint32_t number = 0; number < 1500; ++number) {
      std::string const mutant = mutated(file, number);
      auto const failure =
          failure_of([&] { decode_image("x", std::as_bytes(std::span(mutant)), LoadOptions()); });
      CHECK((!failure || failure->status == 65));
    }
  }
}

TEST_CASE("mutated archives are read or refused") {
  DataFolder const folder;
  write_zip(folder / "x.zip", {{"a/1.png", png_of(9, 9, 1)},
                               {"a/2.png", png_of(9, 9, 1, 1)},
                               {"b/1.png", png_of(9, 9, 1, 2)}});
  std::ifstream in(folder / "x.zip", std::ios::binary);
  std::string const bytes{std::istreambuf_iterator<char>(in), {}};
  LoadOptions options;
  options.threads = 1;
  Outcome const outcome = load_mutants(folder, "x.zip", bytes, 600, options);
  CHECK(outcome.loaded > 20);
  CHECK(outcome.refused > 100);
}

TEST_CASE("mutated tables are read or refused") {
  DataFolder const folder;
  LoadOptions options;
  options.class_depth = 0;
  std::string idx{'\0', '\0', '\x08', '\x03', 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 3};
  idx += std::string(18, 'x');
  std::string npy = "\x93NUMPY";
  npy += '\x01';
  npy += '\0';
  std::string header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 3), }";
  header.resize(117, ' ');
  header += '\n';
  npy += static_cast<char>(header.size());
  npy += '\0';
  npy += header + std::string(18, 'x');
  CHECK(load_mutants(folder, "x.idx", idx, 600, options).loaded > 20);
  CHECK(load_mutants(folder, "x.npy", npy, 600, options).loaded > 20);
  CHECK(load_mutants(folder, "x.csv", "1,2,3,4\n5,6,7,8\n0,0,255,9\n", 600, options).loaded > 20);
}
