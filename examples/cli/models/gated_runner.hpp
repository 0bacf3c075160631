// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "net_runner.hpp"

#include <dashi/backbones/additive_dit.hpp>
#include <dashi/backbones/class_gated_dit.hpp>
#include <dashi/checkpoints/svd_load.hpp>

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

namespace cli {

/// A factorised DiT. Its dense weights are in the net that dense models have: no further one is
/// compiled.
template <dashi::Precision P>
class GatedRunner final
    : public NetRunner<dashi::ClassGatedDit<Kokkos::DefaultExecutionSpace, P,
                                            dashi::AdditiveDit<Kokkos::DefaultExecutionSpace, P>>> {
  using Exec = Kokkos::DefaultExecutionSpace;
  using Base = NetRunner<dashi::ClassGatedDit<Exec, P, dashi::AdditiveDit<Exec, P>>>;
  using Base::ctx_;
  using Base::list_;
  using Base::net_;

public:
  GatedRunner(dashi::DitConfig const& config, GatedWeights weights)
      : Base(config, std::move(weights.layout)), how_(weights.how), memory_(weights.memory) {}

  void load(dashi::io::Checkpoint const& checkpoint, dashi::io::DitModel const&) override {
    dashi::checkpoints::load_factorised(checkpoint, list_);
  }

  GroupCount expect(std::span<std::int64_t const> labels, dashi::Index passes,
                    bool unguided) override {
    net_.choose(labels, passes, unguided, how_);
    std::set<dashi::Index> groups;
    for (std::int64_t const label : labels) {
      groups.insert(net_.group_of(label));
    }
    if (unguided) {
      groups.insert(dashi::no_tailor_group);
    }
    return {groups.size(), net_.chosen_groups()};
  }

  std::vector<std::size_t> order(std::span<std::int64_t const> labels) const override {
    std::vector<std::size_t> order(labels.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return net_.group_of(labels[a]) < net_.group_of(labels[b]);
    });
    return order;
  }

  std::size_t parameter_bytes() const override {
    return Base::parameter_bytes() + std::min(net_.chosen_groups() * net_.group_bytes(), memory_);
  }

private:
  void prepare(std::span<std::int64_t const> labels, bool unguided) override {
    net_.prepare(ctx_, labels, unguided, memory_);
  }

  dashi::Materialise how_;
  std::size_t memory_;
};

}  // namespace cli
