// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::OneOf: its adapters must all replace the weight, or none of them
#include <dashi/adapters/low_rank.hpp>
#include <dashi/adapters/one_of.hpp>
#include <dashi/adapters/shared_svd.hpp>

using namespace dashi;

using Mixed = OneOf<LowRank, SharedSvd>;
static_assert(
    !Mixed::Layer<precision::Float32, Kokkos::DefaultHostExecutionSpace>::traits.replaces_weight);
