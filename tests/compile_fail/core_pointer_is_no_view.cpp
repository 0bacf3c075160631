// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: AccessibleFrom: the argument must be a Kokkos::View
#include <dashi/core/concepts.hpp>

static_assert(dashi::require_accessible<float*, Kokkos::Serial>());
