// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>
#include <dashi/kernels/accumulator.hpp>

#include <Kokkos_Macros.hpp>

#include <cstddef>

namespace dashi::kernels::detail {

/// Elements that loops of host kernels take at a time, through small arrays of accumulator type:
/// conversions stand apart and nothing aliases, so every loop vectorises. Also the number of
/// partial sums of a row, so that bits do not depend on the width of registers.
inline constexpr Index chunk_size = 64;

template <class Real>
struct Chunk {
  Real value[static_cast<std::size_t>(chunk_size)];

  KOKKOS_FORCEINLINE_FUNCTION void fill(Real with) {
    for (Index i = 0; i < chunk_size; ++i) {
      value[i] = with;
    }
  }

  /// The first `count` from memory, the rest `rest`.
  template <class T>
  KOKKOS_FORCEINLINE_FUNCTION void load(T const* from, Index count, Real rest = Real(0)) {
    if (count == chunk_size) {
      for (Index i = 0; i < chunk_size; ++i) {
        value[i] = convert<Real>(from[i]);
      }
    } else {
      for (Index i = 0; i < chunk_size; ++i) {
        value[i] = i < count ? convert<Real>(from[i]) : rest;
      }
    }
  }

  template <class T>
  KOKKOS_FORCEINLINE_FUNCTION void store(T* to, Index count) const {
    if (count == chunk_size) {
      for (Index i = 0; i < chunk_size; ++i) {
        to[i] = convert<T>(value[i]);
      }
    } else {
      for (Index i = 0; i < count; ++i) {
        to[i] = convert<T>(value[i]);
      }
    }
  }

  /// The values as they will be read back from memory of type T.
  template <class T>
  KOKKOS_FORCEINLINE_FUNCTION void round_to() {
    for (Index i = 0; i < chunk_size; ++i) {
      value[i] = convert<Real>(convert<T>(value[i]));
    }
  }

  /// Sum of all values by a fixed tree; the values are lost.
  KOKKOS_FORCEINLINE_FUNCTION Real fold() {
    for (Index width = chunk_size / 2; width > 0; width /= 2) {
      for (Index i = 0; i < width; ++i) {
        value[i] += value[i + width];
      }
    }
    return value[0];
  }
};

}  // namespace dashi::kernels::detail
