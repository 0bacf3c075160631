// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/gated_svd.hpp>
#include <dashi/adapters/one_of.hpp>
#include <dashi/adapters/placement.hpp>
#include <dashi/adapters/shared_svd.hpp>
#include <dashi/backbones/dit.hpp>
#include <dashi/backbones/factorised_layout.hpp>

#include <cstddef>

namespace dashi {

/// Gated or shared factors on query, key, value, output projection and the two maps of the MLP; the
/// rest of the DiT is dense.
using FactorisedPlacement = Place<On<role::attention, OneOf<GatedSvd, SharedSvd>>,
                                  On<role::mlp, OneOf<GatedSvd, SharedSvd>>>;

/// A DiT trained in factors, KIND's or FINE's: one net for both.
template <ExecutionSpace Exec, Precision P>
using FactorisedDit = BasicDiT<Exec, P, FactorisedPlacement>;

/// What the maps of a role are made with. KIND's gates are in the net: samples without a class use
/// the learngene alone.
inline FactorisedPlacement::Options factorised_options(FactorisedLayout const& layout) {
  using Choice = OneOf<GatedSvd, SharedSvd>;
  auto const choose = [layout](LayerInfo const& layer) -> Choice {
    for (std::size_t s = 0; s < factorised_sites.size(); ++s) {
      if (factorised_sites[s].role != layer.role) {
        continue;
      }
      FactorisedLayout::Ranks const& ranks = layout.ranks[s];
      if (layout.method == SvdMethod::fine) {
        return SharedSvd{.rank = ranks.learngene};
      }
      return GatedSvd{.learngene = ranks.learngene,
                      .tailors = ranks.tailors,
                      .groups = layout.groups,
                      .classes = static_cast<Index>(layout.group_of_class.size()),
                      .group_of_class = layout.group_of_class};
    }
    DASHI_EXPECTS(false, "a factorised DiT has no factors on this role");
    return {};
  };
  return {PlacedOptions<Choice>(choose), PlacedOptions<Choice>(choose)};
}

}  // namespace dashi
