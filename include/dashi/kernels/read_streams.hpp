// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/tile_runner.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>

namespace dashi::kernels {

/// Reads `count` vectors of 64-bit words side by side and keeps their combined bits: what an
/// average of that many members costs when it computes nothing and writes nothing.
struct ReadKernel {
  std::uint64_t const* const* streams;
  int count;
  std::uint64_t* sink;  ///< set when any bit remains, so that no read can be left out

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(std::int64_t begin, std::int64_t end) const {
    using U = Lanes<std::uint64_t, Bytes / 8>;
    U bits = U::splat(0);
    for (std::int64_t at = begin; at + U::size <= end; at += U::size) {
      for (int k = 0; k < count; ++k) {
        U::prefetch(streams[k] + at);
        bits = bits ^ U::load(streams[k] + at);
      }
    }
    if (bits.any()) {
      Kokkos::atomic_or(sink, std::uint64_t{1});
    }
  }
};

/// One pass over `count` streams of `words` words each, on all threads of Exec. Fences.
template <class Exec>
void read_streams(Context<Exec>& ctx, std::uint64_t const* const* streams, int count,
                  std::int64_t words) {
  Kokkos::View<std::uint64_t, typename Exec::memory_space> const sink("dashi::read_streams");
  run_tiles("dashi::kernels::read_streams", ctx.exec(), words,
            ReadKernel{streams, count, sink.data()});
  ctx.fence("dashi::kernels::read_streams");
}

}  // namespace dashi::kernels
