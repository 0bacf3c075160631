// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/float_convert.hpp>
#include <dashi/core/floating_environment.hpp>

#include "../../reference/float_rounding.hpp"

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <bit>
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <type_traits>

using dashi::BFloat16;
using dashi::convert;
using dashi::Float16;
using dashi::Float8E4M3;
using dashi::Float8E4M3Fnuz;
using dashi::Float8E5M2;
using dashi::Float8E5M2Fnuz;
using dashi::FloatFormat;
using dashi::Overflow;
using reference::Meaning;
using reference::meaning;

namespace {

template <class T>
T from_bits(std::uint64_t bits) {
  return std::bit_cast<T>(static_cast<typename FloatFormat<T>::Bits>(bits));
}

template <class T>
std::uint64_t bits_of(T value) {
  return std::bit_cast<typename FloatFormat<T>::Bits>(value);
}

template <class T>
constexpr std::uint32_t patterns = 1U << (8 * sizeof(T));

// The pattern that x, not a NaN, must become.
template <class T>
std::uint64_t expected(reference::Rounding<T> const& rounding, double x, Overflow mode) {
  using F = FloatFormat<T>;
  std::uint64_t const sign = std::signbit(x) ? std::uint64_t{F::sign_mask} : 0;
  auto const magnitude = rounding.magnitude(x);
  if (!magnitude) {
    if (mode == Overflow::saturate) {
      return (rounding.values().size() - 1) | sign;
    }
    if (F::special_values == dashi::SpecialValues::unsigned_zero) {
      return 0x80;
    }
    return (F::has_infinity ? rounding.values().size() : 0x7fU) | sign;
  }
  bool const signless = *magnitude == 0 && F::special_values == dashi::SpecialValues::unsigned_zero;
  return *magnitude | (signless ? 0 : sign);
}

// Counts disagreements over x and -x in both modes, from float too where x is one.
template <class T>
int disagreements(reference::Rounding<T> const& rounding, double x) {
  int wrong = 0;
  for (double const value : {x, -x}) {
    wrong += bits_of(convert<T>(value)) != expected(rounding, value, Overflow::ieee);
    wrong += bits_of(convert<T, Overflow::saturate>(value)) !=
             expected(rounding, value, Overflow::saturate);
    auto const single = static_cast<float>(value);
    wrong += bits_of(convert<T>(single)) != expected(rounding, double{single}, Overflow::ieee);
    wrong += bits_of(convert<T, Overflow::saturate>(single)) !=
             expected(rounding, double{single}, Overflow::saturate);
  }
  return wrong;
}

double around(double x, int ulps) {
  double const towards = ulps < 0 ? -HUGE_VAL : HUGE_VAL;
  for (int i = 0; i < std::abs(ulps); ++i) {
    x = std::nextafter(x, towards);
  }
  return x;
}

// Every number of T, every point half-way between two, the overflow point, and what lies next to
// them in double and float.
template <class T>
int disagreements_at_all_turning_points() {
  reference::Rounding<T> const rounding;
  int wrong = 0;
  auto const probe = [&](double x) {
    for (int const ulps : {-2, -1, 0, 1, 2}) {
      wrong += disagreements(rounding, around(x, ulps));
      auto const single = static_cast<float>(x);
      wrong += disagreements(rounding,
                             double{std::nextafter(single, ulps < 0 ? -HUGE_VALF : HUGE_VALF)});
    }
    // Half-way in T after a first rounding to float, but not half-way.
    for (double const tiny : {0x1p-26, 0x1p-30, 0x1p-40, 0x1p-51}) {
      wrong += disagreements(rounding, x * (1 + tiny));
      wrong += disagreements(rounding, x * (1 - tiny));
    }
  };
  auto const& values = rounding.values();
  for (std::size_t i = 0; i < values.size(); ++i) {
    probe(values[i]);
    if (i + 1 < values.size()) {
      probe(values[i] + (values[i + 1] - values[i]) / 2);
    }
  }
  probe(rounding.overflow_point());
  for (double const x :
       {0.0, double{std::numeric_limits<float>::denorm_min()},
        double{std::numeric_limits<float>::min()}, double{std::numeric_limits<float>::max()},
        std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::min(),
        std::numeric_limits<double>::max(), 0x1.fffffep-127, 0x1p-150, HUGE_VAL}) {
    wrong += disagreements(rounding, x);
  }
  return wrong;
}

}  // namespace

TEMPLATE_TEST_CASE("every pattern widens to the number its format defines", "[float]", Float16,
                   BFloat16, Float8E4M3, Float8E5M2, Float8E4M3Fnuz, Float8E5M2Fnuz) {
  int wrong = 0;
  for (std::uint32_t bits = 0; bits < patterns<TestType>; ++bits) {
    auto const value = from_bits<TestType>(bits);
    Meaning const m = meaning<TestType>(bits);
    float const single = dashi::widen(value);
    double const twice = convert<double>(value);
    wrong += is_nan(value) != (m.kind == Meaning::Kind::nan);
    wrong += is_infinite(value) != (m.kind == Meaning::Kind::infinite);
    wrong += is_finite(value) != (m.kind == Meaning::Kind::finite);
    if (m.kind == Meaning::Kind::nan) {
      wrong += !std::isnan(single) || (bits_of(single) & 0x400000U) == 0;
      wrong += !std::isnan(twice) || (bits_of(twice) & 0x8000000000000U) == 0;
    } else {
      wrong += bits_of(single) != bits_of(static_cast<float>(m.value));
      wrong += bits_of(twice) != bits_of(m.value);
    }
  }
  CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("every pattern comes back from float and double", "[float]", Float16, BFloat16,
                   Float8E4M3, Float8E5M2, Float8E4M3Fnuz, Float8E5M2Fnuz) {
  using F = FloatFormat<TestType>;
  int wrong = 0;
  for (std::uint32_t bits = 0; bits < patterns<TestType>; ++bits) {
    auto const value = from_bits<TestType>(bits);
    std::uint64_t same = bits;
    if (is_nan(value) && F::has_infinity) {
      same |= F::nan;  // a signalling NaN becomes quiet, sign and payload stay
    }
    wrong += bits_of(convert<TestType>(dashi::widen(value))) != same;
    wrong += bits_of(convert<TestType>(convert<double>(value))) != same;
    wrong += bits_of(convert<TestType>(value)) != bits;
  }
  CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("narrowing agrees with the table at every turning point", "[float]", Float16,
                   BFloat16, Float8E4M3, Float8E5M2, Float8E4M3Fnuz, Float8E5M2Fnuz) {
  CHECK(disagreements_at_all_turning_points<TestType>() == 0);
}

TEMPLATE_TEST_CASE("narrowing agrees with the table at random numbers", "[float]", Float16,
                   BFloat16, Float8E4M3, Float8E5M2, Float8E4M3Fnuz, Float8E5M2Fnuz) {
  reference::Rounding<TestType> const rounding;
  double const smallest = rounding.values()[1];
  int const low = std::ilogb(smallest) - 3;
  int const high = std::ilogb(rounding.overflow_point()) + 2;
  std::mt19937_64 engine(20240611);
  std::uniform_int_distribution<int> exponent(low, high);
  int wrong = 0;
  for (int i = 0; i < 300000; ++i) {
    double const significand = 1.0 + static_cast<double>(engine() >> 12) * 0x1p-52;
    wrong += disagreements(rounding, std::ldexp(significand, exponent(engine)));
  }
  CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("no NaN becomes anything else", "[float]", Float16, BFloat16, Float8E4M3,
                   Float8E5M2, Float8E4M3Fnuz, Float8E5M2Fnuz) {
  using F = FloatFormat<TestType>;
  int wrong = 0;
  auto const check = [&](auto nan) {
    using Wide = FloatFormat<decltype(nan)>;
    auto const out = convert<TestType>(nan);
    wrong += !is_nan(out);
    wrong += bits_of(convert<TestType, Overflow::saturate>(nan)) != bits_of(out);
    if constexpr (F::special_values != dashi::SpecialValues::unsigned_zero) {
      wrong += ((bits_of(out) & F::sign_mask) != 0) != ((bits_of(nan) & Wide::sign_mask) != 0);
    }
    if constexpr (F::has_infinity) {
      auto const payload =
          (bits_of(nan) & Wide::fraction_mask) >> (Wide::fraction_bits - F::fraction_bits);
      wrong += (bits_of(out) & F::fraction_mask) != (payload | (1U << (F::fraction_bits - 1)));
    }
  };
  for (int bit = 0; bit < 23; ++bit) {
    for (std::uint32_t const sign : {0U, 0x80000000U}) {
      check(from_bits<float>(0x7f800000U | 1U << bit | sign));
      check(from_bits<float>((0x7fffffffU ^ 1U << (bit % 22)) | sign));
    }
  }
  for (int bit = 0; bit < 52; ++bit) {
    for (std::uint64_t const sign : {std::uint64_t{0}, std::uint64_t{1} << 63}) {
      check(from_bits<double>(0x7ff0000000000000U | std::uint64_t{1} << bit | sign));
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("float and double convert as the hardware does", "[float]") {
  std::mt19937_64 engine(7);
  int wrong = 0;
  auto const check = [&](double x) {
    wrong += bits_of(convert<float>(x)) != bits_of(static_cast<float>(x));
  };
  for (int i = 0; i < 2000000; ++i) {
    auto const x = from_bits<double>(engine());
    auto const f = from_bits<float>(engine() & 0xffffffffU);
    if (!std::isnan(x)) {
      check(x);
    }
    if (!std::isnan(f)) {
      wrong += bits_of(convert<double>(f)) != bits_of(static_cast<double>(f));
      wrong += bits_of(convert<float>(convert<double>(f))) != bits_of(f);
      // Half-way to the neighbour, and beside that.
      double const half = (double{f} + double{std::nextafterf(f, HUGE_VALF)}) / 2;
      if (std::isfinite(half)) {
        check(half);
        check(around(half, 1));
        check(around(half, -1));
      }
    }
  }
  for (std::uint32_t bits = 1; bits < 1U << 23; bits = bits * 3 / 2 + 1) {  // subnormals
    wrong +=
        bits_of(convert<double>(from_bits<float>(bits))) != bits_of(std::ldexp(double(bits), -149));
  }
  CHECK(wrong == 0);
  CHECK(bits_of(convert<float>(from_bits<double>(0xfff0000000000001U))) == 0xffc00000U);
  CHECK(bits_of(convert<double>(from_bits<float>(0xff800001U))) == 0xfff8000020000000U);
}

TEST_CASE("small types convert to each other with one rounding", "[float]") {
  int wrong = 0;
  reference::Rounding<BFloat16> const to_bfloat;
  reference::Rounding<Float8E4M3> const to_e4m3;
  reference::Rounding<Float16> const to_half;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    auto const half = from_bits<Float16>(bits);
    auto const bfloat = from_bits<BFloat16>(bits);
    if (!is_nan(half)) {
      double const x = meaning<Float16>(bits).value;
      wrong += bits_of(convert<BFloat16>(half)) != expected(to_bfloat, x, Overflow::ieee);
      wrong += bits_of(convert<Float8E4M3>(half)) != expected(to_e4m3, x, Overflow::ieee);
    }
    if (!is_nan(bfloat)) {
      double const x = meaning<BFloat16>(bits).value;
      wrong += bits_of(convert<Float16>(bfloat)) != expected(to_half, x, Overflow::ieee);
    }
  }
  CHECK(wrong == 0);
}

#if defined(__FLT16_MANT_DIG__) && !defined(__clang__)
TEST_CASE("half agrees with the compiler's own _Float16", "[float]") {
  std::mt19937_64 engine(3);
  int wrong = 0;
  for (int i = 0; i < 2000000; ++i) {
    auto const f = from_bits<float>(engine() & 0xffffffffU);
    auto const d = std::ldexp(1.0 + static_cast<double>(engine() >> 12) * 0x1p-52,
                              static_cast<int>(engine() % 44) - 27);
    if (!std::isnan(f)) {
      wrong += convert<Float16>(f).bits != std::bit_cast<std::uint16_t>(static_cast<_Float16>(f));
    }
    wrong += convert<Float16>(d).bits != std::bit_cast<std::uint16_t>(static_cast<_Float16>(d));
  }
  CHECK(wrong == 0);
}
#endif

TEST_CASE("known conversions", "[float]") {
  CHECK(convert<Float16>(65519.99f).bits == 0x7bff);
  CHECK(convert<Float16>(65520.0f).bits == 0x7c00);
  CHECK(convert<Float16, Overflow::saturate>(65520.0f).bits == 0x7bff);
  CHECK(convert<BFloat16>(3.4e38f).bits == 0x7f80);
  CHECK(convert<BFloat16>(-0.0f).bits == 0x8000);
  CHECK(convert<Float8E4M3>(464.0f).bits == 0x7e);
  CHECK(convert<Float8E4M3>(465.0f).bits == 0x7f);
  CHECK(convert<Float8E4M3>(-HUGE_VALF).bits == 0xff);
  CHECK(convert<Float8E5M2>(61439.0f).bits == 0x7b);
  CHECK(convert<Float8E5M2>(61440.0f).bits == 0x7c);
  CHECK(convert<Float8E4M3Fnuz>(-0.0f).bits == 0x00);
  CHECK(convert<Float8E4M3Fnuz>(-248.0f).bits == 0x80);
  CHECK(convert<Float8E5M2Fnuz>(1e9f).bits == 0x80);
  // One above half-way between 1 and 1 + 2^-10; rounding to float first would go down to even.
  CHECK(convert<Float16>(1.0 + 0x1p-11 + 0x1p-40).bits == 0x3c01);
  static_assert(convert<Float16>(1.0f).bits == 0x3c00);
  static_assert(dashi::widen(BFloat16{0x3f80}) == 1.0f);
}

TEST_CASE("conversions do not depend on the floating-point environment", "[float]") {
  int const modes[] = {FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
  for (int const mode : modes) {
    auto const sweep = [] {
      std::uint64_t digest = 0;
      for (std::uint32_t bits = 0; bits < 65536; ++bits) {
        float volatile f = std::bit_cast<float>(bits << 16 | 0x1234U);
        digest = digest * 31 + bits_of(convert<Float16>(float{f}));
        digest = digest * 31 + bits_of(convert<BFloat16>(float{f}));
        digest = digest * 31 + bits_of(convert<double>(float{f}));
        digest = digest * 31 + bits_of(dashi::widen(from_bits<Float16>(bits)));
        digest = digest * 31 + bits_of(dashi::widen(from_bits<BFloat16>(bits)));
      }
      return digest;
    };
    auto const plain = sweep();
    std::fesetround(mode);
#if defined(__SSE2__)
    _mm_setcsr(_mm_getcsr() | 0x8040U);  // flush to zero, subnormals are zero
#endif
    auto const disturbed = sweep();
#if defined(__SSE2__)
    _mm_setcsr(_mm_getcsr() & ~0x8040U);
#endif
    std::fesetround(FE_TONEAREST);
    CHECK(plain == disturbed);
  }
}
