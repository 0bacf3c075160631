// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "net_runner.hpp"

#include <dashi/checkpoints/load_dit.hpp>
#include <dashi/checkpoints/net_adapters.hpp>

#include <numeric>
#include <utility>

namespace cli {

/// A dense DiT, with the adapters that are given.
template <dashi::Precision P>
class DenseRunner final : public NetRunner<dashi::AdditiveDit<Kokkos::DefaultExecutionSpace, P>> {
  using Net = dashi::AdditiveDit<Kokkos::DefaultExecutionSpace, P>;

public:
  DenseRunner(dashi::DitConfig const& config, SharedAdapters adapters)
      : NetRunner<Net>(config, adapters ? adapters->options() : typename Net::Options()),
        adapters_(std::move(adapters)) {}

  void load(dashi::io::Checkpoint const& checkpoint, dashi::io::DitModel const& model) override {
    dashi::checkpoints::load_dit(
        checkpoint, model, this->list_,
        [&](std::string const& name, std::vector<dashi::Index> const& shape, auto values) {
          if (adapters_) {
            adapters_->edit(name, shape, values);
          }
        });
    if (adapters_) {
      adapters_->fill(this->list_);
    }
  }

  GroupCount expect(std::span<std::int64_t const>, dashi::Index, bool) override { return {}; }

  std::vector<std::size_t> order(std::span<std::int64_t const> labels) const override {
    std::vector<std::size_t> order(labels.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    return order;
  }

private:
  void prepare(std::span<std::int64_t const>, bool) override {}

  SharedAdapters adapters_;
};

}  // namespace cli
