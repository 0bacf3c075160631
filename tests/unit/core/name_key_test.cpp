// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/name_key.hpp>

#include <catch2/catch_test_macros.hpp>

#include <bit>
#include <set>
#include <string>

using dashi::name_key;

TEST_CASE("the key of a name never changes", "[name_key]") {
  // From an independent implementation of FNV-1a and splitmix64's finaliser.
  STATIC_REQUIRE(name_key("") == 0xf52a15e9a9b5e89bU);
  STATIC_REQUIRE(name_key("a") == 0x2c0bdbf481420f8U);
  STATIC_REQUIRE(name_key("blocks.0.attn.qkv.weight") == 0xa83f9ce359b8125fU);
}

TEST_CASE("names of a large model have different keys", "[name_key]") {
  std::set<std::uint64_t> keys;
  std::size_t names = 0;
  for (int block = 0; block < 1000; ++block) {
    for (char const* const tail : {"attn.qkv.weight", "attn.qkv.bias", "mlp.fc1.weight", "a", ""}) {
      keys.insert(name_key("blocks." + std::to_string(block) + "." + tail));
      ++names;
    }
  }
  CHECK(keys.size() == names);
}

TEST_CASE("neighbouring names differ in about half of the bits", "[name_key]") {
  int bits = 0;
  for (int i = 0; i < 256; ++i) {
    bits +=
        std::popcount(name_key("w" + std::to_string(i)) ^ name_key("w" + std::to_string(i + 1)));
  }
  CHECK(bits > 256 * 28);
  CHECK(bits < 256 * 36);
}
