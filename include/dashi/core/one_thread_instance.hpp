// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <Kokkos_Core.hpp>

#include <type_traits>

namespace dashi {

/// Spaces of which an instance can be had that works on the thread that calls it, alone.
template <class Exec>
inline constexpr bool one_thread_space =
#if defined(KOKKOS_ENABLE_SERIAL)
    std::is_same_v<Exec, Kokkos::Serial> ||
#endif
#if defined(KOKKOS_ENABLE_OPENMP)
    std::is_same_v<Exec, Kokkos::OpenMP> ||
#endif
    false;

/// An instance of its own of such a space; for one calling thread at a time, which must not be in a
/// parallel region that began after it was made.
template <class Exec>
Exec one_thread_instance() {
  static_assert(one_thread_space<Exec>, "one_thread_instance: Kokkos::Serial or Kokkos::OpenMP");
  if constexpr (std::is_constructible_v<Exec, Kokkos::NewInstance>) {  // Serial
    return Exec(Kokkos::NewInstance{});
  } else {
    return Exec(1);
  }
}

}  // namespace dashi
