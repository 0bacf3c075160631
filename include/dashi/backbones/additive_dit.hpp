// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/kronecker.hpp>
#include <dashi/adapters/low_rank.hpp>
#include <dashi/adapters/scale_bias.hpp>
#include <dashi/adapters/several.hpp>
#include <dashi/backbones/dit.hpp>

namespace dashi {

using AdditiveAdapters = Several<LowRank, Kronecker, ScaleBias>;

/// Any of them on every linear map; query, key and value stay one map, whose outputs an adapter may
/// take a third of.
using AdditivePlace =
    Place<On<role::qkv, AdditiveAdapters>, On<role::attention_output, AdditiveAdapters>,
          On<role::mlp, AdditiveAdapters>, On<role::modulation, AdditiveAdapters>,
          On<role::patch, AdditiveAdapters>, On<role::timestep, AdditiveAdapters>,
          On<role::final, AdditiveAdapters>>;

/// A DiT for every file of adapters that leave the weights in place. Without any it is the plain
/// one: the same kernels, the same bits.
template <ExecutionSpace Exec, Precision P>
using AdditiveDit = BasicDiT<Exec, P, AdditivePlace>;

/// The same choice on all maps: choose(LayerInfo const&) gives AdditiveAdapters.
template <class Choose>
AdditivePlace::Options additive_options(Choose const& choose) {
  return {choose, choose, choose, choose, choose, choose, choose};
}

}  // namespace dashi
