// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/difference_norms.hpp>
#include <dashi/checkpoints/extract_low_rank.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/io/adapters/adapter_form.hpp>
#include <dashi/io/adapters/adapter_tensor.hpp>
#include <dashi/io/float_dtypes.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace dashi::checkpoints::detail {

/// The Euclidean norm, without overflow on the way.
inline double norm_of(std::span<double const> values) {
  double largest = 0;
  for (double const value : values) {
    largest = std::max(largest, std::abs(value));
  }
  return norm(values, largest);
}

/// Numbers as a tensor of an adapter, each rounded once.
inline io::AdapterTensor tensor_of(io::Dtype dtype, std::vector<std::uint64_t> shape,
                                   std::span<double const> values) {
  std::vector<std::byte> bytes(values.size() * static_cast<std::size_t>(io::bits(dtype)) / 8);
  io::with_float_type(dtype, [&]<class T>() {
    for (std::size_t i = 0; i < values.size(); ++i) {
      T const value = convert<T>(values[i]);
      std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
    }
  });
  return {dtype, std::move(shape), std::move(bytes)};
}

/// For a weight of `shape`, [out, in] or [out, in, taps...].
inline io::LowRankForm low_rank_form(io::Dtype dtype, std::vector<std::uint64_t> const& shape,
                                     LowRankFactors const& factors) {
  std::vector<std::uint64_t> down(shape);
  down[0] = factors.rank;
  std::vector<std::uint64_t> up(shape.size(), 1);
  up[0] = shape[0];
  up[1] = factors.rank;
  io::LowRankForm form;
  form.down = tensor_of(dtype, std::move(down), factors.down);
  form.up = tensor_of(dtype, std::move(up), factors.up);
  return form;
}

}  // namespace dashi::checkpoints::detail
