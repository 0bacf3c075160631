// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_types.hpp>
#include <dashi/core/tensor.hpp>

#include "separate_kernels.hpp"

namespace dashi::kernels {
struct GeluTanh;
struct Silu;

namespace detail {
struct Identity;
template <class Function>
struct ValueOf;
template <class Function>
struct AdjointOf;
template <class Operation, class In, class Out>
struct ElementKernel;
template <class Master, class Gradient, class Shadow>
struct AdamWKernel;
template <class T>
struct AddRowsKernel;
template <class T>
struct AttentionKernel;
template <class T>
struct AttentionAdjointKernel;
template <class T>
struct DotKernel;
template <class T>
struct DotsAndMixKernel;
template <class T>
struct MixKernel;
template <class T>
struct FuseKernel;
template <class T>
struct LookUpKernel;
template <class T, class Out>
struct LookUpAdjointKernel;
template <class T>
struct NormRowsKernel;
template <class T>
struct NormAdjointKernel;
template <class T>
struct PatchKernel;
template <class T>
struct ScaleColumns;
template <class T>
struct ScaleColumnsAdjoint;
template <class T>
struct ScaleRows;
template <class In, class Out, Index Strip>
struct SegmentSumKernel;
template <class T>
struct ValueTerm;
template <class T>
struct ProductTerm;
template <class Term>
struct SumKernel;
}  // namespace detail
}  // namespace dashi::kernels

#define DASHI_INSTANTIATE_ELEMENTS(prefix, Operation, T) \
  DASHI_INSTANTIATE_KERNEL_X86(                          \
      prefix, dashi::kernels::detail::ElementKernel<dashi::kernels::detail::Operation, T, T>)

/// The kernels of a net in precision T. As DASHI_INSTANTIATE_MEANS, but for the instruction sets
/// that are chosen at run time.
#define DASHI_INSTANTIATE_NET(prefix, T)                                                      \
  DASHI_INSTANTIATE_ELEMENTS(prefix, ValueOf<dashi::kernels::GeluTanh>, T)                    \
  DASHI_INSTANTIATE_ELEMENTS(prefix, ValueOf<dashi::kernels::Silu>, T)                        \
  DASHI_INSTANTIATE_ELEMENTS(prefix, AdjointOf<dashi::kernels::GeluTanh>, T)                  \
  DASHI_INSTANTIATE_ELEMENTS(prefix, AdjointOf<dashi::kernels::Silu>, T)                      \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::AdamWKernel<float, float, T>)  \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::AddRowsKernel<T>)              \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::AttentionKernel<T>)            \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::AttentionAdjointKernel<T>)     \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::DotKernel<T>)                  \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::DotsAndMixKernel<T>)           \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::MixKernel<T>)                  \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::FuseKernel<T>)                 \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::LookUpKernel<T>)               \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::LookUpAdjointKernel<T, float>) \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::NormRowsKernel<T>)             \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::NormAdjointKernel<T>)          \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::PatchKernel<T>)                \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::ScaleColumns<T>)               \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::ScaleColumnsAdjoint<T>)        \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::ScaleRows<T>)                  \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::SegmentSumKernel<T, float, 1024>)

/// What a net of 16-bit numbers has besides.
#define DASHI_INSTANTIATE_NET_16(prefix, T)                                                     \
  DASHI_INSTANTIATE_NET(prefix, T)                                                              \
  DASHI_INSTANTIATE_KERNEL_X86(                                                                 \
      prefix, dashi::kernels::detail::ElementKernel<                                            \
                  dashi::kernels::detail::ValueOf<dashi::kernels::detail::Identity>, float, T>) \
  DASHI_INSTANTIATE_KERNEL_X86(prefix, dashi::kernels::detail::SegmentSumKernel<float, T, 1024>)

/// In floats, some of which nets of 16-bit numbers have as well.
#define DASHI_INSTANTIATE_NET_32(prefix)                                                   \
  DASHI_INSTANTIATE_NET(prefix, float)                                                     \
  DASHI_INSTANTIATE_KERNEL_X86(                                                            \
      prefix, dashi::kernels::detail::SumKernel<dashi::kernels::detail::ValueTerm<float>>) \
  DASHI_INSTANTIATE_KERNEL_X86(                                                            \
      prefix, dashi::kernels::detail::SumKernel<dashi::kernels::detail::ProductTerm<float>>)

#if defined(DASHI_SEPARATE_KERNELS) && !defined(DASHI_EVERY_INSTRUCTION_SET)  // one set of flags
DASHI_INSTANTIATE_NET_32(extern)
DASHI_INSTANTIATE_NET_16(extern, dashi::BFloat16)
DASHI_INSTANTIATE_NET_16(extern, dashi::Float16)
#endif
