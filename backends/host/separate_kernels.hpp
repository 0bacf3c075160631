// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>

#include "tile_runner.hpp"

#include <cstdint>

namespace dashi::kernels {
template <class In, class Out>
struct MeanKernel;
template <class In, bool Windowed>
struct AccumulateKernel;
template <class Out, bool Windowed>
struct PublishKernel;
}  // namespace dashi::kernels

/// The bodies of the exact kernels, once for each instruction set, are most of what a program that
/// includes dashi compiles. With DASHI_SEPARATE_KERNELS they are only declared, and the target
/// dashi::kernels (the files of backends/host/separate) brings them.
#define DASHI_INSTANTIATE_KERNEL(prefix, ...)                            \
  prefix template void dashi::backends::host::run_baseline<__VA_ARGS__>( \
      __VA_ARGS__ const&, std::int64_t, std::int64_t);                   \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, __VA_ARGS__)

#if defined(DASHI_HOST_DISPATCH)
#define DASHI_INSTANTIATE_KERNEL_X86(prefix, ...)                                                \
  prefix template void dashi::backends::host::run_avx2<__VA_ARGS__>(__VA_ARGS__ const&,          \
                                                                    std::int64_t, std::int64_t); \
  prefix template void dashi::backends::host::run_avx512<__VA_ARGS__>(__VA_ARGS__ const&,        \
                                                                      std::int64_t, std::int64_t);
#else
#define DASHI_INSTANTIATE_KERNEL_X86(prefix, ...)
#endif

#define DASHI_INSTANTIATE_MEANS(prefix, In)                                         \
  DASHI_INSTANTIATE_KERNEL(prefix, dashi::kernels::MeanKernel<In, dashi::Float16>)  \
  DASHI_INSTANTIATE_KERNEL(prefix, dashi::kernels::MeanKernel<In, dashi::BFloat16>) \
  DASHI_INSTANTIATE_KERNEL(prefix, dashi::kernels::MeanKernel<In, float>)           \
  DASHI_INSTANTIATE_KERNEL(prefix, dashi::kernels::MeanKernel<In, double>)

#define DASHI_INSTANTIATE_SUMS(prefix)                                                      \
  DASHI_INSTANTIATE_KERNEL(prefix, dashi::kernels::AccumulateKernel<dashi::Float16, false>) \
  DASHI_INSTANTIATE_KERNEL(prefix, dashi::kernels::AccumulateKernel<dashi::Float16, true>)  \
  DASHI_INSTANTIATE_KERNEL(prefix, dashi::kernels::AccumulateKernel<dashi::BFloat16, true>) \
  DASHI_INSTANTIATE_KERNEL(prefix, dashi::kernels::AccumulateKernel<float, true>)           \
  DASHI_INSTANTIATE_KERNEL(prefix, dashi::kernels::PublishKernel<dashi::Float16, false>)    \
  DASHI_INSTANTIATE_KERNEL(prefix, dashi::kernels::PublishKernel<dashi::BFloat16, false>)   \
  DASHI_INSTANTIATE_KERNEL(prefix, dashi::kernels::PublishKernel<float, false>)             \
  DASHI_INSTANTIATE_KERNEL(prefix, dashi::kernels::PublishKernel<double, false>)            \
  DASHI_INSTANTIATE_KERNEL(prefix, dashi::kernels::PublishKernel<dashi::Float16, true>)     \
  DASHI_INSTANTIATE_KERNEL(prefix, dashi::kernels::PublishKernel<dashi::BFloat16, true>)    \
  DASHI_INSTANTIATE_KERNEL(prefix, dashi::kernels::PublishKernel<float, true>)              \
  DASHI_INSTANTIATE_KERNEL(prefix, dashi::kernels::PublishKernel<double, true>)

#if defined(DASHI_SEPARATE_KERNELS)
DASHI_INSTANTIATE_MEANS(extern, dashi::Float16)
DASHI_INSTANTIATE_MEANS(extern, dashi::BFloat16)
DASHI_INSTANTIATE_MEANS(extern, float)
DASHI_INSTANTIATE_MEANS(extern, double)
DASHI_INSTANTIATE_SUMS(extern)
#endif
