// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: Precision: declare 'using accumulate = ...;'
#include <dashi/core/precision.hpp>

struct Half {
  using storage = dashi::Float16;
  using compute = float;
  using master = float;
};
static_assert(dashi::require_precision<Half>());
