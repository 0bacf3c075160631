// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/floating_environment.hpp>
#include <dashi/core/narrow_block.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include <bit>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

namespace {

using Random = std::mt19937_64;

constexpr std::uint64_t sign = std::uint64_t{1} << 63;

std::uint64_t bits_of(float value) { return std::bit_cast<std::uint64_t>(double{value}); }

/// Exponents from 2^-lowest on, `range` of them; every second number ends in zeros.
std::uint64_t with_exponent(Random& random, std::uint64_t lowest, std::uint64_t range) {
  std::uint64_t bits =
      (random() & (sign | 0xfffffffffffffULL)) | ((random() % range + 1023 - lowest) << 52);
  if (random() % 2 == 0) {
    bits &= ~((std::uint64_t{1} << random() % 52) - 1);
  }
  return bits;
}

/// A pattern of one of the kinds that rounding twice gets wrong, or that is special.
std::uint64_t hostile(Random& random) {
  std::uint64_t const neighbour = random() % 3 - 1;
  switch (random() % 6) {
    case 0: return random();
    case 1: return bits_of(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
    case 2: {  // between two bfloat16
      std::uint32_t const half = random() % 2 == 0 ? 0x8000U : 0U;
      std::uint32_t const top = static_cast<std::uint32_t>(random()) & 0xffff0000U;
      return bits_of(std::bit_cast<float>(top | half)) + neighbour;
    }
    case 3: return with_exponent(random, 160, 300) + neighbour;
    case 4: return with_exponent(random, 30, 60) + neighbour;
    default: {  // zeros, infinities, NaN and what is beside them
      std::uint64_t const special = random() % 2 == 0 ? 0 : 0x7ff0000000000000ULL;
      return (random() & sign) + special + random() % 3;
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("A block of doubles is narrowed to the bits that convert gives", "[core]",
                   dashi::BFloat16, dashi::Float16, dashi::Float8E4M3, dashi::Float8E5M2,
                   dashi::Float8E4M3Fnuz, dashi::Float8E5M2Fnuz, float, double) {
  dashi::FloatingEnvironment const environment;
  Random random(11);
  for (std::size_t const size : {0U, 1U, 511U, 512U, 513U, 300001U}) {
    std::vector<double> in(size);
    for (double& value : in) {
      value = std::bit_cast<double>(hostile(random));
    }
    std::vector<TestType> out(size);
    dashi::narrow_block(in.data(), out.data(), size);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < size; ++i) {
      auto const expected = dashi::convert<TestType>(in[i]);
      wrong += std::memcmp(&expected, &out[i], sizeof(TestType)) != 0 ? 1U : 0U;
    }
    CHECK(wrong == 0);
  }
}
