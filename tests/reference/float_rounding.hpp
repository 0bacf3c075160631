// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace reference {

/// What a pattern means, from the definition of its format: nothing when it is not finite.
struct Meaning {
  enum class Kind { finite, infinite, nan } kind;
  double value;  ///< signed, exact; NaN for NaN
};

template <class T>
Meaning meaning(std::uint32_t bits) {
  using F = dashi::FloatFormat<T>;
  std::uint32_t const sign = bits >> (F::fraction_bits + F::exponent_bits) & 1U;
  std::uint32_t const exponent = bits >> F::fraction_bits & ((1U << F::exponent_bits) - 1U);
  std::uint32_t const fraction = bits & ((1U << F::fraction_bits) - 1U);
  bool const highest = exponent == (1U << F::exponent_bits) - 1U;
  double const nan = std::numeric_limits<double>::quiet_NaN();
  double const infinity = std::numeric_limits<double>::infinity();
  switch (F::special_values) {
    case dashi::SpecialValues::ieee:
      if (highest) {
        return fraction != 0 ? Meaning{Meaning::Kind::nan, nan}
                             : Meaning{Meaning::Kind::infinite, sign != 0 ? -infinity : infinity};
      }
      break;
    case dashi::SpecialValues::nan_only:
      if (highest && fraction == (1U << F::fraction_bits) - 1U) {
        return {Meaning::Kind::nan, nan};
      }
      break;
    case dashi::SpecialValues::unsigned_zero:
      if (sign == 1 && exponent == 0 && fraction == 0) {
        return {Meaning::Kind::nan, nan};
      }
      break;
  }
  double const significand =
      exponent == 0 ? double(fraction) : double(fraction + (1U << F::fraction_bits));
  int const power = (exponent == 0 ? 1 : int(exponent)) - F::bias - F::fraction_bits;
  double const magnitude = std::ldexp(significand, power);
  return {Meaning::Kind::finite, sign != 0 ? -magnitude : magnitude};
}

/// Rounds by looking through the table of all numbers of an 8- or 16-bit format.
template <class T>
class Rounding {
public:
  Rounding() {
    for (std::uint32_t bits = 0;
         meaning<T>(bits).kind == Meaning::Kind::finite && bits < dashi::FloatFormat<T>::sign_mask;
         ++bits) {
      values_.push_back(meaning<T>(bits).value);
    }
  }

  /// Finite magnitudes, ascending: the index is the pattern.
  std::vector<double> const& values() const { return values_; }

  /// Half a unit above the largest number: where the next one would be rounded to.
  double overflow_point() const {
    return values_.back() + (values_.back() - values_[values_.size() - 2]) / 2;
  }

  /// Pattern of |x| rounded to nearest, ties to the even pattern; nothing beyond the range.
  std::optional<std::uint32_t> magnitude(double x) const {
    double const a = std::fabs(x);
    bool const last_is_odd = (values_.size() - 1) % 2 == 1;
    if (a > overflow_point() || (a == overflow_point() && last_is_odd)) {
      return std::nullopt;
    }
    auto const above = std::lower_bound(values_.begin(), values_.end(), a);
    if (above == values_.end()) {
      return static_cast<std::uint32_t>(values_.size() - 1);
    }
    auto const high = static_cast<std::uint32_t>(above - values_.begin());
    if (*above == a || high == 0) {
      return high;
    }
    double const from_low = a - values_[high - 1];  // exact: neighbours are within a factor of two
    double const from_high = *above - a;
    if (from_low != from_high) {
      return from_low < from_high ? high - 1 : high;
    }
    return high % 2 == 0 ? high : high - 1;
  }

private:
  std::vector<double> values_;
};

}  // namespace reference
