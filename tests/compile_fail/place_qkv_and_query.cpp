// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::Place: put adapters on role::qkv, or on query, key and value, not on both
#include <dashi/adapters/low_rank.hpp>
#include <dashi/backbones/dit.hpp>

using namespace dashi;

using Bad = BasicDiT<Kokkos::DefaultHostExecutionSpace, precision::Float32,
                     Place<On<role::qkv, LowRank>, On<role::query, LowRank>>>;
static_assert(sizeof(Bad) > 0);
