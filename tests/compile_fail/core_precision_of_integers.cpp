// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: Precision: declare 'using storage = ...;'.* a type with a
#include <dashi/core/precision.hpp>

struct Counts {
  using storage = int;
  using compute = float;
  using accumulate = float;
  using master = float;
};
static_assert(dashi::require_precision<Counts>());
