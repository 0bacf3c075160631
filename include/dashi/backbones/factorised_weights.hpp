// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/backbones/factorised_layout.hpp>
#include <dashi/core/context.hpp>
#include <dashi/core/parameter_list.hpp>
#include <dashi/kernels/gated_svd_materialise.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <string>

namespace dashi {

/// Samples without a class, in place of a tailor group: the learngene alone. FINE's only weights.
inline constexpr Index no_tailor_group = -1;

/// Whether `rows` tokens are cheaper through dense weights, their making included, than through
/// factors, where all tailors are computed and those of other groups masked: rows times the
/// difference in multiply-accumulates against r out in of each map.
inline bool materialising_pays(FactorisedLayout const& layout, Index width, Index mlp_width,
                               double rows, Index group = no_tailor_group) {
  double dense = 0;
  double made = 0;
  for (std::size_t s = 0; s < factorised_sites.size(); ++s) {
    LinearShape const shape = factorised_sites[s].shape(width, mlp_width);
    auto const elements = static_cast<double>(shape.out) * static_cast<double>(shape.in);
    Index const active = layout.ranks[s].learngene +
                         (group == no_tailor_group ? 0 : layout.ranks[s].tailors / layout.groups);
    dense += elements;
    made += elements * static_cast<double>(active);
  }
  return rows * (static_cast<double>(layout.macs(width, mlp_width)) - dense) > made;
}

/// Makes the DiT whose parameters are `dense` compute what the factorised one of `factors` does for
/// classes of a tailor group: weights are U diag(sigma) V' of its components, everything else is
/// shared with `factors`, memory too. Fences where scratch has to grow.
template <Precision P, ExecutionSpace Exec>
void materialise_factorised(Context<Exec>& ctx, FactorisedLayout const& layout,
                            ParameterList<P, Exec> const& factors, Index group,
                            ParameterList<P, Exec> const& dense) {
  using Real = typename P::storage;
  auto const parameter = [&](std::string const& name) {
    auto const* const entry = factors.find(name);
    return entry == nullptr ? Parameter<P, Exec>() : entry->parameter;
  };
  auto const multiply = [&](Parameter<P, Exec> const& u, Parameter<P, Exec> const& sigma,
                            Parameter<P, Exec> const& v, Index first, Index rank, double beta,
                            Parameter<P, Exec> const& weight) {
    ctx.reserve_scratch(kernels::gated_materialise_scratch<Real, Exec>(rank, v.cols()));
    kernels::gated_materialise<Real>(
        ctx,
        {u.slice(first, rank).matrix(),
         vector_over<Real const, Exec>(sigma.vector().data() + first, rank),
         v.slice(first, rank).matrix()},
        {}, weight.matrix(), beta);
  };
  for (auto const& entry : dense) {
    if (auto const same = parameter(entry.name); same.size() > 0) {
      entry.parameter.share_value(same);
      continue;
    }
    for (std::size_t s = 0; s < factorised_sites.size(); ++s) {
      FactorisedSite const& site = factorised_sites[s];
      if (!entry.name.ends_with("." + std::string(site.weight))) {
        continue;
      }
      std::string const block = entry.name.substr(0, entry.name.size() - site.weight.size());
      std::string const path = block + std::string(site.name);
      Index const part = entry.parameter.rows() / (site.third < 0 ? 1 : 3);
      auto const weight = entry.parameter.slice(std::max<Index>(0, site.third) * part, part);
      auto const& ranks = layout.ranks[s];
      if (layout.method == SvdMethod::fine) {
        std::string const shared = "shared.blocks." + std::string(site.name);
        multiply(parameter(shared + ".u"), parameter(path + ".sigma"), parameter(shared + ".v"), 0,
                 ranks.learngene, 0, weight);
        continue;
      }
      if (ranks.learngene > 0) {
        multiply(parameter(path + ".learngene.u"), parameter(path + ".learngene.sigma"),
                 parameter(path + ".learngene.v"), 0, ranks.learngene, 0, weight);
      } else {
        Kokkos::deep_copy(ctx.exec(), weight.matrix(), Real(0));
      }
      Index const each = ranks.tailors / layout.groups;
      if (group != no_tailor_group && each > 0) {
        multiply(parameter(path + ".tailors.u"), parameter(path + ".tailors.sigma"),
                 parameter(path + ".tailors.v"), group * each, each, 1, weight);
      }
    }
  }
}

}  // namespace dashi
