// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>
#include <dashi/io/dtype.hpp>
#include <dashi/io/float_dtypes.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>

namespace dashi::checkpoints {

/// Whether every value of the dtype is a double: the formats that dashi converts, and integers of
/// at most 32 bits.
constexpr bool is_exact_as_double(io::Dtype dtype) noexcept {
  switch (dtype) {
    case io::Dtype::boolean:
    case io::Dtype::u8:
    case io::Dtype::i8:
    case io::Dtype::u16:
    case io::Dtype::i16:
    case io::Dtype::u32:
    case io::Dtype::i32: return true;
    default: return is_convertible(dtype);
  }
}

namespace detail {

template <class Integer>
void widen_integers(std::byte const* in, std::span<double> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    Integer value{};
    std::memcpy(&value, in + i * sizeof(Integer), sizeof(Integer));
    out[i] = static_cast<double>(value);
  }
}

}  // namespace detail

/// out.size() elements as double, exactly. The dtype must be is_exact_as_double(), `in` aligned for
/// it.
inline void widen_to_double(io::Dtype dtype, std::byte const* in, std::span<double> out) {
  switch (dtype) {
    case io::Dtype::boolean:
    case io::Dtype::u8: return detail::widen_integers<std::uint8_t>(in, out);
    case io::Dtype::i8: return detail::widen_integers<std::int8_t>(in, out);
    case io::Dtype::u16: return detail::widen_integers<std::uint16_t>(in, out);
    case io::Dtype::i16: return detail::widen_integers<std::int16_t>(in, out);
    case io::Dtype::u32: return detail::widen_integers<std::uint32_t>(in, out);
    case io::Dtype::i32: return detail::widen_integers<std::int32_t>(in, out);
    default: break;
  }
  with_float_type(dtype, [&]<class T>() {
    T const* const values = reinterpret_cast<T const*>(in);
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = convert<double>(values[i]);
    }
  });
}

/// Norms of a - b, element by element in double. Elements of which either is NaN or infinite are
/// counted and left out, except infinities that are equal, whose difference is zero.
struct DifferenceNorms {
  double max_abs = 0;   ///< largest |a - b|
  double l2 = 0;        ///< of a - b
  double l2_first = 0;  ///< of a
  std::uint64_t nonfinite = 0;

  /// ‖a - b‖ / ‖a‖; 0 when both are 0, infinity when only a is.
  double relative() const noexcept {
    return l2 == 0 ? 0 : l2_first > 0 ? l2 / l2_first : std::numeric_limits<double>::infinity();
  }
  /// Of the elements of both. The order of several += is part of the result.
  DifferenceNorms& operator+=(DifferenceNorms const& other) noexcept {
    max_abs = std::max(max_abs, other.max_abs);
    l2 = std::hypot(l2, other.l2);
    l2_first = std::hypot(l2_first, other.l2_first);
    nonfinite += other.nonfinite;
    return *this;
  }
};

namespace detail {

/// Root of the sum of squares of finite numbers, of which `largest` is the largest magnitude;
/// without overflow on the way. Eight partial sums in a fixed order.
inline double norm(std::span<double const> values, double largest) {
  if (largest == 0 || !std::isfinite(largest)) {
    return largest;
  }
  // Squares of these neither overflow nor vanish; other magnitudes are scaled by a power of two.
  bool const plain = largest < 1e140 && largest > 1e-140;
  int const exponent = plain ? 0 : std::ilogb(largest);
  std::array<double, 8> sums{};
  for (std::size_t i = 0; i < values.size(); ++i) {
    double const value = plain ? values[i] : std::scalbn(values[i], -exponent);
    sums[i % 8] += value * value;
  }
  double const sum =
      ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
  return std::scalbn(std::sqrt(sum), exponent);
}

}  // namespace detail

/// Norms of a - b. Overwrites both: they are scratch afterwards.
inline DifferenceNorms difference_norms(std::span<double> a, std::span<double> b) {
  DifferenceNorms norms;
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    double difference = a[i] == b[i] ? 0 : a[i] - b[i];
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) {
      bool const same = a[i] == b[i];
      norms.nonfinite += same ? 0U : 1U;
      difference = 0;
      a[i] = 0;
    }
    b[i] = difference;
    norms.max_abs = std::max(norms.max_abs, std::abs(difference));
    largest = std::max(largest, std::abs(a[i]));
  }
  norms.l2 = detail::norm(b, norms.max_abs);
  norms.l2_first = detail::norm(a, largest);
  return norms;
}

}  // namespace dashi::checkpoints
