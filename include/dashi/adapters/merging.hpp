// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/concept.hpp>

#include <concepts>

namespace dashi {

/// A layer whose change can be added to a copy of the weight inside it, [out, in], for the length
/// of a call: the map is then one product, forward is not called, backward is for the gradients of
/// the layer's parameters alone and gets a dx that nobody wants.
///
/// merges: whether that is cheaper for so many rows; merged_saved: what merge keeps for backward;
/// merge: weight = in.weight + change. The change adds to W x, whatever the sample.
template <class L, class P, class E>
concept MergingLayer =
    !L::traits.replaces_weight && !L::traits.transforms_input && !L::traits.conditional &&
    requires(L const& layer, Context<E>& ctx, LinearInput<P, E> const& in, Matrix<P, E> weight,
             Arena& arena, Index rows, typename L::Saved const& saved) {
  { layer.merges(rows) } -> std::same_as<bool>;
  { layer.merged_saved(arena, rows) } -> std::same_as<typename L::Saved>;
  { layer.merge(ctx, in, weight, saved) } -> std::same_as<void>;
};

}  // namespace dashi
