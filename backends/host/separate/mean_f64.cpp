// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/exact_mean.hpp>

DASHI_INSTANTIATE_MEANS(, double)
