// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/checked_multiply.hpp>
#include <dashi/core/precision.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <cstdint>

namespace dashi {

using Index = std::int64_t;

/// Views in signatures: concrete, unmanaged, row-major. Managed views convert to them implicitly.
template <class T, class Exec>
using VectorOf = Kokkos::View<T*, Kokkos::LayoutRight, typename Exec::memory_space,
                              Kokkos::MemoryTraits<Kokkos::Unmanaged>>;
template <class T, class Exec>
using MatrixOf = Kokkos::View<T**, Kokkos::LayoutRight, typename Exec::memory_space,
                              Kokkos::MemoryTraits<Kokkos::Unmanaged>>;

/// The same in the storage type of a precision policy.
template <Precision P, class Exec>
using Vector = VectorOf<typename P::storage, Exec>;
template <Precision P, class Exec>
using Matrix = MatrixOf<typename P::storage, Exec>;

/// View of existing memory with checked extents; the caller keeps the memory alive.
template <class T, class Exec>
VectorOf<T, Exec> vector_over(T* data, Index size) {
  checked_multiply(size, static_cast<Index>(sizeof(T)));
  return {data, static_cast<std::size_t>(size)};
}

template <class T, class Exec>
MatrixOf<T, Exec> matrix_over(T* data, Index rows, Index cols) {
  checked_multiply(rows, cols, static_cast<Index>(sizeof(T)));
  return {data, static_cast<std::size_t>(rows), static_cast<std::size_t>(cols)};
}

}  // namespace dashi
