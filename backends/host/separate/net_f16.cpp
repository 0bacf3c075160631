// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "net_kernels.hpp"

DASHI_INSTANTIATE_NET_16(, dashi::Float16)
DASHI_INSTANTIATE_ROWS(, dashi::Float16, dashi::Float16)
DASHI_INSTANTIATE_ROWS(, dashi::Float16, float)
DASHI_INSTANTIATE_WIDENING(, dashi::Float16)
