// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/checkpoints/read_numbers.hpp>
#include <dashi/checkpoints/svd_read.hpp>
#include <dashi/core/context.hpp>
#include <dashi/kernels/gated_svd_materialise.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dashi::checkpoints {

/// Reads the tensors of a factorised DiT as numbers.
class FactorReader {
public:
  using Exec = Kokkos::DefaultHostExecutionSpace;

  FactorReader(io::Checkpoint const& checkpoint, FactorisedModel const& model)
      : checkpoint_(checkpoint), model_(model) {}

  FactorisedModel const& model() const noexcept { return model_; }

  /// Null where there is none.
  io::TensorRef const* find(std::string_view name) const { return checkpoint_.find(name); }
  /// A whole tensor; empty where there is none of the name.
  std::vector<double> read(std::string_view name) const {
    io::TensorRef const* const ref = find(name);
    std::vector<double> values(ref == nullptr ? 0 : static_cast<std::size_t>(ref->info.elements()));
    if (ref != nullptr) {
      read_numbers(checkpoint_, *ref, 0, std::span<double>(values));
    }
    return values;
  }

  /// Fills `weight`, [out, in] of the site, with U diag(g ⊙ sigma) V' of a block: the learngene and
  /// the tailors of the groups, or FINE's components. Takes memory for the factors. Fences.
  void materialise(Context<Exec>& ctx, std::size_t site, std::int64_t block,
                   std::span<Index const> groups, std::span<double> weight) const {
    auto const& c = model_.configuration;
    LinearShape const shape = factorised_sites[site].shape(c.width, c.mlp_width);
    auto const ranks = model_.layout.ranks[site];
    std::string const path = factor_path(site, block);
    if (model_.layout.method == SvdMethod::fine) {
      std::string const shared = factor_path(site, -1);
      add(ctx, shape, {read(shared + ".u"), read(shared + ".v"), read(path + ".sigma")}, 0, weight);
      return;
    }
    bool const any = ranks.learngene > 0;
    if (any) {
      add(ctx, shape, part(path + ".learngene"), 0, weight);
    }
    if (ranks.tailors == 0 || (groups.empty() && any)) {
      return;
    }
    Factors tailors = part(path + ".tailors");
    Index const each = ranks.tailors / model_.layout.groups;
    for (Index j = 0; j < ranks.tailors; ++j) {
      if (std::find(groups.begin(), groups.end(), j / each) == groups.end()) {
        tailors.sigma[static_cast<std::size_t>(j)] = 0;
      }
    }
    add(ctx, shape, tailors, any ? 1 : 0, weight);
  }

private:
  struct Factors {
    std::vector<double> u, v, sigma;
  };

  Factors part(std::string const& path) const {
    return {read(path + ".u"), read(path + ".v"), read(path + ".sigma")};
  }

  static void add(Context<Exec>& ctx, LinearShape shape, Factors const& factors, double beta,
                  std::span<double> weight) {
    auto const rank = static_cast<Index>(factors.sigma.size());
    ctx.reserve_scratch(kernels::gated_materialise_scratch<double, Exec>(rank, shape.in));
    kernels::gated_materialise<double>(
        ctx,
        {matrix_over<double const, Exec>(factors.u.data(), rank, shape.out),
         vector_over<double const, Exec>(factors.sigma.data(), rank),
         matrix_over<double const, Exec>(factors.v.data(), rank, shape.in)},
        {}, matrix_over<double, Exec>(weight.data(), shape.out, shape.in), beta);
    ctx.fence();
  }

  io::Checkpoint const& checkpoint_;
  FactorisedModel const& model_;
};

}  // namespace dashi::checkpoints
