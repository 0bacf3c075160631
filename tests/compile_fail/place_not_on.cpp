// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::Place: its arguments are On<Role, Adapter...>
#include <dashi/adapters/low_rank.hpp>
#include <dashi/adapters/placement.hpp>

using namespace dashi;

using Bad = Place<LowRank>;
static_assert(sizeof(Bad) > 0);
