// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/adamw_arguments.hpp>
#include <dashi/training/micro_batch.hpp>

#include <memory>

namespace dashi::training {

/// Steps on one context, a chunk after the other: what devices want, and the default. The same bits
/// for equal settings, thread count included.
template <diffusion::Backbone Net>
class WholeBatch {
public:
  using Backbone = Net;
  using P = typename Net::precision;
  using Exec = typename Net::execution_space;
  static constexpr bool any_threads = false;

  /// Context and network must outlive it.
  WholeBatch(Context<Exec>& ctx, Net const& net) : ctx_(&ctx), net_(&net) {}

  Context<Exec>& context() const noexcept { return *ctx_; }
  Net const& net() const noexcept { return *net_; }
  Index parts() const noexcept { return 1; }
  MicroBatch<Net>& part(Index) const noexcept { return *micro_; }

  /// Takes the memory of a step.
  void prepare(BatchLayout const& layout, Net const* teacher) {
    micro_ = std::make_unique<MicroBatch<Net>>(*ctx_, *net_, layout, 1, teacher);
  }

  /// body(micro-batch, chunk) once for each chunk; chunk c on micro-batch c % parts(), in order.
  template <class Body>
  void for_each_chunk(Index chunks, Body const& body) {
    for (Index c = 0; c < chunks; ++c) {
      body(*micro_, c);
    }
  }

  /// Gradients of all parts into those of the network that is trained.
  void sum_gradients() const noexcept {}

  template <class AdamW>
  void update(AdamW const& adamw, kernels::AdamWOptions const& options, Index step) const {
    adamw.step(*ctx_, options, step);
  }

private:
  Context<Exec>* ctx_;
  Net const* net_;
  std::unique_ptr<MicroBatch<Net>> micro_;
};

}  // namespace dashi::training
