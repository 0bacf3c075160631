// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/tile_runner.hpp>

#include "instruction_set.hpp"
#if !defined(__CUDACC__)
#include "inexact_flag.hpp"
#include "vector_lanes.hpp"
#endif

#include <cstdint>
#include <type_traits>

namespace dashi::backends::host {

// nvcc refuses vector registers in functions that are compiled for the device as well: its builds
// run the device's form on the host, for one instruction set.
#if defined(__CUDACC__)
template <class T, int N>
using HostLanes = kernels::ArrayLanes<T, N>;
#else
template <class T, int N>
using HostLanes = VectorLanes<T, N>;
#if defined(__x86_64__)
#define DASHI_HOST_DISPATCH
#endif
#endif

// Where every processor that the program is compiled for has AVX2, nothing below it is compiled.
// Tests that compare all instruction sets ask for every one.
#if !defined(DASHI_HOST_DISPATCH) || defined(DASHI_EVERY_INSTRUCTION_SET) || \
    !(defined(__AVX2__) && defined(__FMA__) && defined(__BMI2__))
#define DASHI_HOST_BASELINE
#endif

#if defined(DASHI_HOST_DISPATCH)
#define DASHI_TARGET_AVX512 \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2")))
#define DASHI_TARGET_AVX2 __attribute__((target("avx2,fma,bmi2")))

template <class Kernel>
DASHI_TARGET_AVX512 void run_avx512(Kernel const& kernel, std::int64_t begin, std::int64_t end) {
  kernel.template tile<HostLanes, 64>(begin, end);
}

template <class Kernel>
DASHI_TARGET_AVX2 void run_avx2(Kernel const& kernel, std::int64_t begin, std::int64_t end) {
  kernel.template tile<HostLanes, 32>(begin, end);
}

#undef DASHI_TARGET_AVX2
#undef DASHI_TARGET_AVX512
#endif

template <class Kernel>
void run_baseline(Kernel const& kernel, std::int64_t begin, std::int64_t end) {
  kernel.template tile<HostLanes, 16>(begin, end);
}

}  // namespace dashi::backends::host

namespace dashi::kernels {

/// Host spaces: the same kernel source in vector registers, compiled once for each instruction set
/// and chosen at run time.
template <class Exec>
struct TileRunner<
    Exec, std::enable_if_t<std::is_same_v<typename Exec::memory_space, Kokkos::HostSpace>>> {
  /// 8 KiB of 16-bit numbers a member: a few members' tiles stay in the first-level cache.
  static constexpr std::int64_t tile_size = 4096;

  /// Called on the host only; a device compiler sees it from a kernel for both.
  template <class Kernel>
  KOKKOS_FUNCTION static void run(Kernel const& kernel, std::int64_t begin, std::int64_t end) {
    KOKKOS_IF_ON_HOST((run_on_host(kernel, begin, end);))
    KOKKOS_IF_ON_DEVICE(((void)kernel; (void)begin; (void)end;))
  }

private:
  template <class Kernel>
  static void run_on_host(Kernel const& kernel, std::int64_t begin, std::int64_t end) {
#if defined(DASHI_HOST_DISPATCH)
    switch (backends::host::instruction_set()) {
      case backends::host::InstructionSet::avx512:
        return backends::host::run_avx512(kernel, begin, end);
      case backends::host::InstructionSet::baseline:
#if defined(DASHI_HOST_BASELINE)
        break;
#endif
      case backends::host::InstructionSet::avx2:
        return backends::host::run_avx2(kernel, begin, end);
    }
#endif
#if defined(DASHI_HOST_BASELINE)
    backends::host::run_baseline(kernel, begin, end);
#endif
  }
};

}  // namespace dashi::kernels
