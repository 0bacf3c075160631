// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::On: the first argument is a role, such as dashi::role::attention
#include <dashi/adapters/low_rank.hpp>
#include <dashi/adapters/placement.hpp>

using namespace dashi;

using Bad = On<LowRank, LowRank>;
static_assert(sizeof(Bad) > 0);
