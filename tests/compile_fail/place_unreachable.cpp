// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::Place: an On<Role, ...> stands behind another that takes all its maps
#include <dashi/adapters/low_rank.hpp>
#include <dashi/adapters/placement.hpp>

using namespace dashi;

using Bad = Place<On<role::attention, LowRank>, On<role::query, LowRank>>;
static_assert(Bad::index<role::query> == 0);
