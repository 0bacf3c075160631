// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/convert_dtype.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/core/narrow_block.hpp>
#include <dashi/io/float_dtypes.hpp>
#include <dashi/kernels/convert.hpp>

#include <cmath>
#include <cstddef>
#include <span>

namespace dashi::checkpoints::detail {

/// What went wrong with the results of a piece; `first` counts from its beginning.
template <class T>
ConversionCounts lost_in_rounding(std::span<double const> values, T const* out) {
  ConversionCounts counts;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!is_finite(out[i])) {
      counts.first = counts.first < 0 ? static_cast<Index>(i) : counts.first;
      (std::isnan(values[i])   ? counts.nan
       : std::isinf(values[i]) ? counts.infinite
                               : counts.overflowed) += 1;
    }
  }
  return counts;
}

/// The bits in a form that lets g++ 12 make vectors of the loops below.
template <class T>
typename FloatFormat<T>::Bits pattern_of(T const& value) {
  if constexpr (requires { value.bits; }) {
    return value.bits;
  } else {
    T const copy = value;
    return __builtin_bit_cast(typename FloatFormat<T>::Bits, copy);
  }
}

/// Whether any of the bits are those of a negative zero, or of no finite number. Loops of their
/// own: together with the rounding they would not become vectors.
template <class T>
bool any_negative_zero(T const* in, std::size_t count) {
  using Bits = typename FloatFormat<T>::Bits;
  Bits found = 0;
  for (std::size_t i = 0; i < count; ++i) {
    auto const other = static_cast<Bits>(pattern_of(in[i]) ^ FloatFormat<T>::sign_mask);
    found = other == 0 ? Bits{1} : found;
  }
  return found != 0;
}
template <class T>
bool all_finite(T const* out, std::size_t count) {
  using F = FloatFormat<T>;
  if constexpr (F::special_values == SpecialValues::unsigned_zero) {
    return !any_negative_zero(out, count);  // the pattern is its NaN
  } else {
    typename F::Bits largest = 0;
    for (std::size_t i = 0; i < count; ++i) {
      auto const magnitude = static_cast<typename F::Bits>(pattern_of(out[i]) & F::magnitude_mask);
      largest = magnitude > largest ? magnitude : largest;
    }
    return largest <= F::largest_finite;
  }
}

template <class T>
ConversionCounts round_changed_as(std::byte const* before, std::span<double const> values,
                                  std::byte* after, bool saturate) {
  T const* const in = reinterpret_cast<T const*>(before);
  T* const out = reinterpret_cast<T*>(after);
  narrow_block(values.data(), out, values.size());
  if (any_negative_zero(in, values.size())) {  // -0 + 0 is +0, the one unchanged value that moves
    for (std::size_t i = 0; i < values.size(); ++i) {
      out[i] = convert<double>(in[i]) == values[i] ? in[i] : out[i];
    }
  }
  if (all_finite(out, values.size())) {
    return {};
  }
  ConversionCounts const counts = lost_in_rounding(values, out);
  if (saturate) {
    saturate_overflow(values.data(), out, values.size());
  }
  return counts;
}

/// `values` rounded once, to nearest, ties to even, to the dtype of `before`, the bits from which
/// they came; those that did not change keep their bits, the sign of a zero too. Buffers aligned;
/// needs a FloatingEnvironment.
inline ConversionCounts round_changed(io::Dtype dtype, std::byte const* before,
                                      std::span<double const> values, std::byte* after,
                                      bool saturate) {
  return io::with_float_type(
      dtype, [&]<class T>() { return round_changed_as<T>(before, values, after, saturate); });
}

}  // namespace dashi::checkpoints::detail
