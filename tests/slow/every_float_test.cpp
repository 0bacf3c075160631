// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// All 2^32 floats to every small format, against limits computed from the formats' own tables.
#include <dashi/core/float_convert.hpp>

#include "../reference/float_rounding.hpp"

#include <Kokkos_Core.hpp>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

constexpr std::uint32_t infinity_bits = 0x7f800000;

// limits[k]: the largest float, as bits, that rounds to magnitude k; the last one: to the largest
// finite number. Half-way points have one bit more than the format, so they are floats.
template <class T>
std::vector<std::uint32_t> rounding_limits() {
  reference::Rounding<T> const rounding;
  auto const& values = rounding.values();
  std::vector<std::uint32_t> limits(values.size());
  for (std::size_t k = 0; k < values.size(); ++k) {
    double const half_way = k + 1 < values.size() ? values[k] + (values[k + 1] - values[k]) / 2
                                                  : rounding.overflow_point();
    bool const tie_stays = k % 2 == 0;
    limits[k] = std::bit_cast<std::uint32_t>(static_cast<float>(half_way)) - (tie_stays ? 0U : 1U);
  }
  return limits;
}

// Sign and magnitude patterns of T for a magnitude index; beyond the last one is overflow.
template <class T>
std::uint32_t pattern(std::size_t index, std::size_t count, bool negative) {
  using F = dashi::FloatFormat<T>;
  bool const unsigned_zero = F::special_values == dashi::SpecialValues::unsigned_zero;
  if (index == count && unsigned_zero) {
    return 0x80;
  }
  std::uint32_t const sign = negative && !(unsigned_zero && index == 0) ? F::sign_mask : 0U;
  return static_cast<std::uint32_t>(index) | sign;  // after the largest: infinity, or 0x7f
}

template <class T>
std::uint64_t wrong_among_all_floats() {
  auto const limits = rounding_limits<T>();
  using F = dashi::FloatFormat<T>;
  std::uint64_t wrong = 0;
  constexpr std::uint32_t block = 1U << 16;
  Kokkos::parallel_reduce(
      "every float",
      Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace, Kokkos::Schedule<Kokkos::Dynamic>>(
          0, (1U << 31) / block),
      [&](std::uint32_t index, std::uint64_t& sum) {
        std::uint32_t const begin = index * block;
        auto k = static_cast<std::size_t>(std::lower_bound(limits.begin(), limits.end(), begin) -
                                          limits.begin());
        for (std::uint32_t bits = begin; bits < begin + block; ++bits) {
          for (bool const negative : {false, true}) {
            float const x = std::bit_cast<float>(bits | (negative ? 0x80000000U : 0U));
            T const out = dashi::convert<T>(x);
            if (bits > infinity_bits) {
              bool const keeps =
                  !F::has_infinity ||
                  (out.bits & F::fraction_mask) == ((bits & 0x7fffffU) >> (23 - F::fraction_bits) |
                                                    1U << (F::fraction_bits - 1));
              bool const signs = F::special_values == dashi::SpecialValues::unsigned_zero ||
                                 ((out.bits & F::sign_mask) != 0) == negative;
              sum += !dashi::is_nan(out) || !keeps || !signs;
            } else {
              while (k < limits.size() && bits > limits[k]) {
                ++k;
              }
              sum += out.bits != pattern<T>(k, limits.size(), negative);
            }
          }
        }
      },
      wrong);
  return wrong;
}

}  // namespace

TEMPLATE_TEST_CASE("every float narrows to the nearest number", "[slow]", dashi::Float16,
                   dashi::BFloat16, dashi::Float8E4M3, dashi::Float8E5M2, dashi::Float8E4M3Fnuz,
                   dashi::Float8E5M2Fnuz) {
  CHECK(wrong_among_all_floats<TestType>() == 0);
}

TEST_CASE("every float widens and comes back", "[slow]") {
  std::uint64_t wrong = 0;
  Kokkos::parallel_reduce(
      "every float",
      Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace, Kokkos::IndexType<std::uint64_t>>(
          0, std::uint64_t{1} << 32),
      [](std::uint64_t i, std::uint64_t& sum) {
        auto const bits = static_cast<std::uint32_t>(i);
        float const x = std::bit_cast<float>(bits);
        double const wide = dashi::convert<double>(x);
        bool const nan = (bits & 0x7fffffffU) > infinity_bits;
        std::uint32_t const same = nan ? bits | 0x400000U : bits;
        sum += std::bit_cast<std::uint32_t>(dashi::convert<float>(wide)) != same;
        sum += !nan && std::bit_cast<std::uint64_t>(wide) !=
                           std::bit_cast<std::uint64_t>(static_cast<double>(x));
      },
      wrong);
  CHECK(wrong == 0);
}
