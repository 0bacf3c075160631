// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::On: name at least one adapter
#include <dashi/adapters/low_rank.hpp>
#include <dashi/adapters/placement.hpp>

using namespace dashi;

using Bad = On<role::mlp>;
static_assert(sizeof(Bad) > 0);
