// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#undef DASHI_SEPARATE_KERNELS
#include <dashi/kernels/exact_mean.hpp>

DASHI_INSTANTIATE_MEANS(, dashi::BFloat16)
