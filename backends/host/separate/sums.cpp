// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/accumulate.hpp>
#include <dashi/kernels/publish.hpp>

DASHI_INSTANTIATE_SUMS()
