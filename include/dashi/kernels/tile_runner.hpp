// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/array_lanes.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>

namespace dashi::kernels {

/// How an execution space works through a tile of elements: with which lanes and how many elements.
///
/// A tile kernel has `template <template <class, int> class Lanes, int Bytes> void tile(begin, end)
/// const`, force inlined; Bytes is the size of a register. This is the form for every space: an
/// array of lanes a thread. backends/host specialises
/// it for host spaces with vector registers and the instruction set found at run time.
template <class Exec, class = void>
struct TileRunner {
  static constexpr std::int64_t tile_size = 8;

  template <class Kernel>
  KOKKOS_INLINE_FUNCTION static void run(Kernel const& kernel, std::int64_t begin,
                                         std::int64_t end) {
    kernel.template tile<ArrayLanes, 16>(begin, end);
  }
};

/// Runs kernel over [0, count) in tiles on exec; asynchronous.
template <class Exec, class Kernel>
void run_tiles(char const* label, Exec const& exec, std::int64_t count, Kernel const& kernel) {
  constexpr std::int64_t size = TileRunner<Exec>::tile_size;
  Kokkos::parallel_for(
      label,
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<std::int64_t>>(exec, 0,
                                                                 (count + size - 1) / size),
      KOKKOS_LAMBDA(std::int64_t tile) {
        std::int64_t const begin = tile * size;
        std::int64_t const end = begin + size < count ? begin + size : count;
        TileRunner<Exec>::run(kernel, begin, end);
      });
}

}  // namespace dashi::kernels
