// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>
#include <dashi/io/dtype.hpp>
#include <dashi/kernels/mean_report.hpp>
#include <dashi/merging/typed_values.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace dashi::merging {

namespace detail {

template <class T>
bool all_finite(std::byte const* bytes, std::size_t count) {
  using F = FloatFormat<T>;
  typename F::Bits nonfinite = 0;
  for (std::size_t i = 0; i < count; ++i) {
    typename F::Bits bits;
    std::memcpy(&bits, bytes + i * sizeof bits, sizeof bits);
    nonfinite =
        static_cast<typename F::Bits>(nonfinite | ((bits & F::exponent_mask) == F::exponent_mask));
  }
  return nonfinite == 0;
}

template <class T>
kernels::MeanReport count_nonfinite(std::byte const* bytes, std::size_t count) {
  using F = FloatFormat<T>;
  kernels::MeanReport report;
  for (std::size_t i = 0; i < count; ++i) {
    typename F::Bits bits;
    std::memcpy(&bits, bytes + i * sizeof bits, sizeof bits);
    if ((bits & F::exponent_mask) == F::exponent_mask) {
      bool const first = report.nan_inputs + report.infinite_inputs == 0;
      report.first_nonfinite = first ? static_cast<std::int64_t>(i) : report.first_nonfinite;
      ++((bits & F::fraction_mask) != 0 ? report.nan_inputs : report.infinite_inputs);
    }
  }
  return report;
}

}  // namespace detail

/// Whether no value is NaN or infinite; always true for dtypes that are not averaged.
inline bool all_finite(io::Dtype dtype, std::span<std::byte const> bytes) {
  return !io::is_averaged(dtype) || with_type(dtype, [&]<class T>() {
    return detail::all_finite<T>(bytes.data(), bytes.size() / sizeof(T));
  });
}

/// How many values of an averaged dtype are NaN and infinite, and the index of the first.
inline kernels::MeanReport count_nonfinite(io::Dtype dtype, std::span<std::byte const> bytes) {
  return with_type(dtype, [&]<class T>() {
    return detail::count_nonfinite<T>(bytes.data(), bytes.size() / sizeof(T));
  });
}

}  // namespace dashi::merging
