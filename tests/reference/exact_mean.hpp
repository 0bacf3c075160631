// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>

#include <gmp.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace dashi::reference {

/// Σ w x / Σ w by GMP integers, straight from the definition: the specification of every exact
/// mean.
///
/// The value is rounded once to Out, to nearest with ties to even, overflowing to infinity as IEEE
/// does. Sign of an exact zero: negative iff every term with non-zero weight is a negative zero
/// (sign of x times sign of w). Members of weight 0 take no part. Any NaN, or infinite terms of
/// both signs, give the quiet NaN without payload; else an infinite term gives infinity of its
/// sign. Σ w must be positive. Shares no arithmetic with the library; FloatFormat only names field
/// widths.
class ExactMean {
public:
  ExactMean() { mpz_inits(sum_, term_, total_, quotient_, rest_, divisor_, nullptr); }
  ~ExactMean() { mpz_clears(sum_, term_, total_, quotient_, rest_, divisor_, nullptr); }
  ExactMean(ExactMean const&) = delete;
  ExactMean& operator=(ExactMean const&) = delete;

  /// Bits of the mean in Out. values[i] are the bits of the members as In.
  template <class In, class Out>
  typename FloatFormat<Out>::Bits bits(std::span<std::int64_t const> weights,
                                       std::span<std::type_identity_t<In> const> values) {
    using F = FloatFormat<In>;
    using G = FloatFormat<Out>;
    using Result = typename G::Bits;
    bool nan = false;
    bool infinite[2] = {false, false};
    bool only_negative_zeros = true;
    mpz_set_ui(sum_, 0);
    mpz_set_ui(total_, 0);
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (weights[i] == 0) {
        continue;
      }
      typename F::Bits pattern;
      std::memcpy(&pattern, &values[i], sizeof pattern);
      bool const negative = ((pattern >> (F::fraction_bits + F::exponent_bits)) & 1U) != 0;
      auto const exponent =
          static_cast<int>((pattern >> F::fraction_bits) & ((1U << F::exponent_bits) - 1));
      auto const fraction =
          static_cast<std::uint64_t>(pattern) & ((std::uint64_t{1} << F::fraction_bits) - 1);
      bool const minus = negative != (weights[i] < 0);
      if (exponent == (1 << F::exponent_bits) - 1) {
        nan = nan || fraction != 0;
        infinite[minus ? 1 : 0] = infinite[minus ? 1 : 0] || fraction == 0;
        continue;
      }
      only_negative_zeros = only_negative_zeros && exponent == 0 && fraction == 0 && minus;
      mpz_set_si(term_, weights[i]);
      mpz_add(total_, total_, term_);
      std::uint64_t const significand =
          exponent == 0 ? fraction : fraction | (std::uint64_t{1} << F::fraction_bits);
      mpz_mul_ui(term_, term_, significand);
      mpz_mul_2exp(term_, term_, static_cast<mp_bitcnt_t>(exponent == 0 ? 0 : exponent - 1));
      if (negative) {
        mpz_sub(sum_, sum_, term_);
      } else {
        mpz_add(sum_, sum_, term_);
      }
    }
    auto const infinity = ((std::uint64_t{1} << G::exponent_bits) - 1) << G::fraction_bits;
    auto const sign = std::uint64_t{1} << (G::fraction_bits + G::exponent_bits);
    if (nan || (infinite[0] && infinite[1])) {
      return static_cast<Result>(infinity | (std::uint64_t{1} << (G::fraction_bits - 1)));
    }
    if (infinite[0] || infinite[1]) {
      return static_cast<Result>(infinite[1] ? sign | infinity : infinity);
    }
    if (mpz_sgn(sum_) == 0) {
      return static_cast<Result>(only_negative_zeros ? sign : 0);
    }
    bool const minus = mpz_sgn(sum_) < 0;
    mpz_abs(sum_, sum_);
    std::uint64_t const magnitude = round<G::fraction_bits>(
        1 - F::bias - F::fraction_bits, 1 - G::bias - G::fraction_bits, infinity);
    return static_cast<Result>(minus ? sign | magnitude : magnitude);
  }

private:
  /// Rounds sum_ / total_ * 2^unit to a number with `Fraction` fraction bits whose smallest
  /// subnormal is 2^lowest; gives the magnitude's bits, at most `infinity`.
  template <int Fraction>
  std::uint64_t round(int unit, int lowest, std::uint64_t infinity) {
    // value is in [2^estimate, 2^(estimate + 2))
    long const estimate = static_cast<long>(mpz_sizeinbase(sum_, 2)) -
                          static_cast<long>(mpz_sizeinbase(total_, 2)) - 1 + unit;
    long last =
        estimate - Fraction > lowest ? estimate - Fraction : lowest;  // exponent of the last bit
    divide(unit - last);
    if (mpz_sizeinbase(quotient_, 2) > Fraction + 1) {
      ++last;
      divide(unit - last);
    }
    mpz_mul_2exp(rest_, rest_, 1);
    int const half = mpz_cmp(rest_, divisor_);
    if (half > 0 || (half == 0 && mpz_odd_p(quotient_))) {
      mpz_add_ui(quotient_, quotient_, 1);
    }
    // The hidden bit of a normal number, and a carry of rounding, add one to the exponent field.
    std::uint64_t const steps = static_cast<std::uint64_t>(last - lowest);
    if (steps >= infinity >> Fraction) {
      return infinity;
    }
    std::uint64_t const bits = (steps << Fraction) + mpz_get_ui(quotient_);
    return bits < infinity ? bits : infinity;
  }

  /// quotient_, rest_ = divmod(sum_ * 2^shift, total_); divisor_ is what rest_ is a part of.
  void divide(long shift) {
    mpz_set(divisor_, total_);
    if (shift >= 0) {
      mpz_mul_2exp(term_, sum_, static_cast<mp_bitcnt_t>(shift));
    } else {
      mpz_set(term_, sum_);
      mpz_mul_2exp(divisor_, divisor_, static_cast<mp_bitcnt_t>(-shift));
    }
    mpz_tdiv_qr(quotient_, rest_, term_, divisor_);
  }

  mpz_t sum_, term_, total_, quotient_, rest_, divisor_;
};

/// Bits of the correctly rounded mean; see ExactMean, which keeps its memory for many calls.
template <class In, class Out>
typename FloatFormat<Out>::Bits mean_bits(std::span<std::int64_t const> weights,
                                          std::span<std::type_identity_t<In> const> values) {
  return ExactMean().bits<In, Out>(weights, values);
}

}  // namespace dashi::reference
