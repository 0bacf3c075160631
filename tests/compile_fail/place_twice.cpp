// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::Place: an On<Role, ...> stands behind another that takes all its maps
#include <dashi/adapters/low_rank.hpp>
#include <dashi/adapters/placement.hpp>

using namespace dashi;

using Bad = Place<On<role::mlp, LowRank>, On<role::mlp, LowRank>>;
static_assert(Bad::index<role::mlp_in> == 0);
