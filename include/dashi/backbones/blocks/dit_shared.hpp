// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/backbones/blocks/condition_embedder.hpp>
#include <dashi/backbones/blocks/dit_block.hpp>
#include <dashi/backbones/blocks/dit_final_layer.hpp>
#include <dashi/backbones/blocks/patch_embedder.hpp>

namespace dashi {

/// What adapters on the maps of one place share, in all blocks.
template <Precision P, ExecutionSpace Exec, class Placement>
struct DitShared {
  typename PatchEmbedder<P, Exec, Placement>::Shared patches;
  typename ConditionEmbedder<P, Exec, Placement>::Shared embedder;
  typename DitBlock<P, Exec, Placement>::Shared block;
  typename DitFinalLayer<P, Exec, Placement>::Shared final;

  void parameters(ParameterList<P, Exec>& list) const {
    using Scope = typename ParameterList<P, Exec>::Scope;
    {
      Scope const scope(list, "x_embedder.proj", role::patch::name);
      patches.parameters(list);
    }
    embedder.parameters(list);
    {
      Scope const scope(list, "blocks");
      block.parameters(list);
    }
    Scope const scope(list, "final_layer", role::final::name);
    final.parameters(list);
  }
};

}  // namespace dashi
