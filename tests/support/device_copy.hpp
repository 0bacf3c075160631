// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <vector>

namespace dashi::test {

/// The values in memory that Exec reaches.
template <class Exec, class T>
Kokkos::View<T*, typename Exec::memory_space> device_copy(std::vector<T> const& values) {
  Kokkos::View<T*, typename Exec::memory_space> const device(
      Kokkos::view_alloc(Kokkos::WithoutInitializing, "dashi::test::device_copy"), values.size());
  Kokkos::View<T const*, Kokkos::HostSpace, Kokkos::MemoryUnmanaged> const host(values.data(),
                                                                                values.size());
  Kokkos::deep_copy(device, host);
  return device;
}

/// The values of a view of rank 1 in any memory.
template <class View>
std::vector<typename View::non_const_value_type> host_copy(View const& view) {
  std::vector<typename View::non_const_value_type> values(view.extent(0));
  Kokkos::View<typename View::non_const_value_type*, Kokkos::HostSpace,
               Kokkos::MemoryUnmanaged> const host(values.data(), values.size());
  Kokkos::deep_copy(host, view);
  return values;
}

/// Elements whose bytes differ.
template <class T>
std::size_t different_bits(std::vector<T> const& a, std::vector<T> const& b) {
  std::size_t count = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
    count += __builtin_memcmp(&a[i], &b[i], sizeof(T)) != 0 ? 1U : 0U;
  }
  return count;
}

}  // namespace dashi::test
