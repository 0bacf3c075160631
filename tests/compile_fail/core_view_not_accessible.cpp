// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: AccessibleFrom: the view's memory cannot be reached from this execution space
#include <dashi/core/concepts.hpp>

struct FarSpace {  // memory that no host space reaches
  using memory_space = FarSpace;
  using execution_space = Kokkos::Serial;
  using device_type = Kokkos::Device<execution_space, memory_space>;
  using size_type = std::size_t;
  static constexpr char const* name() { return "far"; }
  void* allocate(std::size_t) const { return nullptr; }
  void* allocate(char const*, std::size_t, std::size_t = 0) const { return nullptr; }
  void deallocate(void*, std::size_t) const {}
  void deallocate(char const*, void*, std::size_t, std::size_t = 0) const {}
};
using FarView = Kokkos::View<float*, FarSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;
static_assert(dashi::require_accessible<FarView, Kokkos::Serial>());
