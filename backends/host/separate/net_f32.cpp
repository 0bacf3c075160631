// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "net_kernels.hpp"

DASHI_INSTANTIATE_NET_32()
DASHI_INSTANTIATE_ROWS(, float, float)
