// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/expects.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dashi::merging {

/// A weight exactly as it was written: digits / 10^places. Never a binary fraction, so 0.3 is 3/10.
///
/// Values made by parse_weight() and decimal_weight() are canonical: places is the least possible,
/// 0 <= places <= 8. Equal weights then compare equal and have equal text.
struct DecimalWeight {
  std::int64_t digits = 1;
  int places = 0;

  static constexpr int most_places = 8;
  friend bool operator==(DecimalWeight const&, DecimalWeight const&) = default;
};

/// digits / 10^places in canonical form.
constexpr DecimalWeight decimal_weight(std::int64_t digits, int places = 0) {
  while (places > 0 && digits % 10 == 0) {
    digits /= 10;
    --places;
  }
  return {digits, places};
}

namespace detail {

[[noreturn]] inline void bad_weight(std::string_view text, std::string found) {
  throw UsageError({.code = "bad-weight",
                    .file = {},
                    .place = "weight '" + std::string(text) + "'",
                    .found = std::move(found),
                    .expected = "a decimal number such as 1, -0.5 or 0.125 with at most 8 places",
                    .advice = {}});
}

inline constexpr std::array<std::int64_t, DecimalWeight::most_places + 1> powers_of_ten{
    1, 10, 100, 1'000, 10'000, 100'000, 1'000'000, 10'000'000, 100'000'000};

}  // namespace detail

/// Reads [+-]digits[.digits]; UsageError for anything else, exponents, NaN and infinity included,
/// for more than 8 places, and for more digits than 63 bits hold.
inline DecimalWeight parse_weight(std::string_view text) {
  constexpr std::int64_t limit = std::numeric_limits<std::int64_t>::max();
  auto const is_digit = [&](std::size_t i) {
    return i < text.size() && text[i] >= '0' && text[i] <= '9';
  };
  bool const negative = text.starts_with('-');
  std::size_t at = negative || text.starts_with('+') ? 1 : 0;
  if (!is_digit(at)) {
    detail::bad_weight(text, text.empty() ? "it is empty" : "it is not a decimal number");
  }
  std::int64_t digits = 0;
  int places = 0;
  for (bool fraction = false; at < text.size(); ++at) {
    if (text[at] == '.' && !fraction && is_digit(at + 1)) {
      fraction = true;
      continue;
    }
    if (!is_digit(at)) {
      detail::bad_weight(text, text[at] == 'e' || text[at] == 'E' ? "it has an exponent"
                                                                  : "it is not a decimal number");
    }
    std::int64_t const digit = text[at] - '0';
    if (digits > (limit - digit) / 10) {
      detail::bad_weight(text, "it has too many digits");
    }
    digits = digits * 10 + digit;
    places += fraction ? 1 : 0;
    if (places > DecimalWeight::most_places) {
      detail::bad_weight(text, "it has more than 8 decimal places");
    }
  }
  return decimal_weight(negative ? -digits : digits, places);
}

/// The one spelling of a weight: no plus sign, no needless zero: "0.3", "-12", "0".
inline std::string text(DecimalWeight weight) {
  std::uint64_t const magnitude = weight.digits < 0
                                      ? std::uint64_t{0} - static_cast<std::uint64_t>(weight.digits)
                                      : static_cast<std::uint64_t>(weight.digits);
  std::string out = std::to_string(magnitude);
  auto const places = static_cast<std::size_t>(weight.places);
  if (places > 0) {
    if (out.size() <= places) {
      out.insert(0, places + 1 - out.size(), '0');
    }
    out.insert(out.size() - places, 1, '.');
  }
  return weight.digits < 0 ? "-" + out : out;
}

/// Weights over one common denominator: weight i is values[i] / 10^places.
struct IntegerWeights {
  std::vector<std::int64_t> values;
  int places = 0;  ///< the most places among the weights
};

/// Scales by 10^places; UsageError naming the weight that does not fit 63 bits then.
inline IntegerWeights to_integers(std::span<DecimalWeight const> weights) {
  IntegerWeights out;
  for (DecimalWeight const& weight : weights) {
    DASHI_EXPECTS(weight.places >= 0 && weight.places <= DecimalWeight::most_places,
                  "a weight has 0 to 8 places, got " + std::to_string(weight.places));
    out.places = std::max(out.places, weight.places);
  }
  out.values.reserve(weights.size());
  for (DecimalWeight const& weight : weights) {
    std::int64_t const factor =
        detail::powers_of_ten[static_cast<std::size_t>(out.places - weight.places)];
    constexpr std::int64_t limit = std::numeric_limits<std::int64_t>::max();
    if (weight.digits > limit / factor || weight.digits < -(limit / factor)) {
      detail::bad_weight(text(weight), "it is too large beside a weight with " +
                                           std::to_string(out.places) + " decimal places");
    }
    out.values.push_back(weight.digits * factor);
  }
  return out;
}

}  // namespace dashi::merging
