// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/convert_dtype.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/io/float_dtypes.hpp>
#include <dashi/kernels/convert.hpp>

#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>

namespace dashi::checkpoints::detail {

template <class T>
T rounded(double value) {
  if constexpr (std::is_same_v<T, float>) {
    return static_cast<float>(value);  // the caller holds a FloatingEnvironment
  } else {
    return convert<T>(value);
  }
}

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

template <class T>
ConversionCounts round_changed_as(std::byte const* before, std::span<double const> values,
                                  std::byte* after, bool saturate) {
  T const* const in = reinterpret_cast<T const*>(before);
  T* const out = reinterpret_cast<T*>(after);
  std::size_t lost = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    T const result = rounded<T>(values[i]);
    out[i] = convert<double>(in[i]) == values[i] ? in[i] : result;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    lost += is_finite(out[i]) ? 0U : 1U;
  }
  if (lost == 0) {
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
