// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/tile_runner.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>

namespace dashi::bench {

/// Reads `streams` vectors of 64-bit words side by side and keeps their combined bits: what an
/// average of that many members costs when it computes nothing and writes nothing.
struct ReadKernel {
  std::uint64_t const* const* streams;
  int count;
  std::uint64_t* sink;

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
      *sink = 1;
    }
  }
};

/// One pass of the read ceiling over `count` streams of `words` words each; all threads of Exec.
template <class Exec>
void read_streams(Context<Exec>& ctx, std::uint64_t const* const* streams, int count,
                  std::int64_t words) {
  static std::uint64_t sink = 0;
  kernels::run_tiles("dashi::bench::read_streams", ctx.exec(), words,
                     ReadKernel{streams, count, &sink});
  ctx.fence("dashi::bench::read_streams");
}

}  // namespace dashi::bench
