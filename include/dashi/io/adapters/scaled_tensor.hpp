// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>
#include <dashi/io/adapters/adapter_error.hpp>
#include <dashi/io/adapters/adapter_tensor.hpp>
#include <dashi/io/float_dtypes.hpp>
#include <dashi/io/listing.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace dashi::io::detail {

/// Numbers in a floating dtype, each rounded once.
inline std::vector<std::byte> rounded_bytes(std::vector<double> const& values, Dtype dtype) {
  std::vector<std::byte> bytes;
  with_float_type(dtype, [&]<class T>() {
    bytes.resize(values.size() * sizeof(T));
    for (std::size_t i = 0; i < values.size(); ++i) {
      T const value = convert<T>(values[i]);
      std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
    }
  });
  return bytes;
}

/// The tensor times a number, each element rounded once to its dtype. FormatError for a finite
/// element that the dtype does not hold then.
inline AdapterTensor scaled_tensor(AdapterTensor const& tensor, double scale,
                                   std::filesystem::path const& file, std::string const& module) {
  std::vector<double> values = tensor.values();
  std::vector<bool> finite(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    finite[i] = std::isfinite(values[i]);
    values[i] *= scale;
  }
  AdapterTensor out(tensor.dtype(), tensor.shape(), rounded_bytes(values, tensor.dtype()));
  std::vector<double> const after = out.values();
  for (std::size_t i = 0; i < after.size(); ++i) {
    if (finite[i] && !std::isfinite(after[i])) {
      refuse_adapter("overflow", file, "module " + in_quotes(module),
                     "a factor times the scale does not fit " + std::string(name(tensor.dtype())),
                     "numbers in its range", "convert the adapter to a wider dtype first");
    }
  }
  return out;
}

inline AdapterTensor reshaped(AdapterTensor const& tensor, std::vector<std::uint64_t> shape) {
  return {tensor.dtype(), std::move(shape), tensor.bytes()};
}

inline AdapterTensor double_tensor(double value) {
  return {Dtype::f64, {}, rounded_bytes({value}, Dtype::f64)};
}

/// A scalar in `wanted`, or in F32 or F64 where that does not hold it exactly.
inline AdapterTensor number_tensor(double value, Dtype wanted) {
  for (Dtype const dtype : {wanted, Dtype::f32}) {
    AdapterTensor out(dtype, {}, rounded_bytes({value}, dtype));
    if (out.values().front() == value) {
      return out;
    }
  }
  return double_tensor(value);
}

/// The alpha for which alpha / rank is the scale, if there is one.
inline double alpha_for(double scale, double rank) {
  double const alpha = scale * rank;
  for (double const candidate :
       {alpha, std::nextafter(alpha, -INFINITY), std::nextafter(alpha, INFINITY)}) {
    if (candidate / rank == scale) {
      return candidate;
    }
  }
  return alpha;
}

}  // namespace dashi::io::detail
