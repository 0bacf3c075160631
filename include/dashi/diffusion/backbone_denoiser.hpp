// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/diffusion/backbone_concept.hpp>

#include <cstdint>
#include <utility>

namespace dashi::diffusion {

/// A backbone and memory of its passes without gradients, as the Denoiser that samplers and probes
/// call. `evaluation` is net.evaluation() for exactly the rows of the calls; the context's scratch
/// must have net.scratch_bytes() for them. The network must outlive it.
template <Backbone Net>
class BackboneDenoiser {
public:
  using P = typename Net::precision;
  using Exec = typename Net::execution_space;
  using T = typename P::storage;

  BackboneDenoiser(Net const& net, typename Net::Evaluation evaluation)
      : net_(&net), evaluation_(std::move(evaluation)) {}

  /// Asynchronous where the backbone is.
  void operator()(Context<Exec>& ctx, MatrixOf<T const, Exec> x, VectorOf<double const, Exec> t,
                  VectorOf<std::int64_t const, Exec> labels, MatrixOf<T, Exec> out) const {
    // Inputs hold views of what may be written; evaluate() does not write them.
    auto const images = matrix_over<T, Exec>(
        const_cast<T*>(x.data()), static_cast<Index>(x.extent(0)), static_cast<Index>(x.extent(1)));
    net_->evaluate(ctx, DenoiserInput<P, Exec>{images, t, {labels, {}, 0}, {}}, out, evaluation_);
  }

private:
  Net const* net_;
  typename Net::Evaluation evaluation_;
};

}  // namespace dashi::diffusion
