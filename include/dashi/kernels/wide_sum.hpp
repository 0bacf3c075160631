// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>
#include <dashi/kernels/mean_element.hpp>
#include <dashi/kernels/wide_int.hpp>
#include <dashi/kernels/window.hpp>

#include <cstdint>

namespace dashi::kernels {

/// An exact sum Σ w x of any finite Float16, BFloat16 or float x, Σ|w| < 2^40, in units of 2^-149
/// (the smallest float): 277 magnitude bits, 40 of weight and a sign fit 320 bits. Reliability of
/// the ledger rests on it being a group element: what was added can be subtracted without a trace.
class WideSum {
public:
  static constexpr int words = 5;
  static constexpr int unit = smallest_exponent<float>;

  WideSum() = default;
  explicit WideSum(WideInt<words> const& value) : value_(value) {}

  WideInt<words> const& value() const { return value_; }
  bool is_zero() const { return value_.is_zero(); }

  /// += weight * x; x finite.
  template <class In>
  void add_product(In x, std::int64_t weight) {
    ScaledSignificand const s = scaled_significand(widen(x));
    std::uint64_t const w = static_cast<std::uint64_t>(weight < 0 ? -weight : weight);
    value_.add_shifted(UInt128{s.significand} * w, s.shift, s.negative != (weight < 0));
  }

  void add(WideSum const& other) { value_.add(other.value_); }

  /// += the 128-bit window sum (low, high).
  void add_window(std::uint64_t low, std::int64_t high) {
    UInt128 magnitude = UInt128{static_cast<std::uint64_t>(high)} << 64 | low;
    magnitude = high < 0 ? ~magnitude + 1 : magnitude;
    value_.add_shifted(magnitude, window_unit - unit, high < 0);
  }

  void multiply(std::uint64_t factor) { value_.multiply(factor); }

  /// By a divisor of the value.
  void divide_exactly(std::uint64_t divisor) {
    bool const negative = value_.is_negative();
    if (negative) {
      value_.negate();
    }
    value_.divide(divisor);
    if (negative) {
      value_.negate();
    }
  }

  /// Value / total rounded once to Out (round_quotient); +0 for zero.
  template <class Out>
  Out mean(std::int64_t total) const {
    return __builtin_bit_cast(Out, round_quotient<Out>(value_, unit, total));
  }

private:
  WideInt<words> value_;
};

}  // namespace dashi::kernels
