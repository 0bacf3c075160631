// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/parameter_list.hpp>
#include <dashi/kernels/reduce.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace dashi::training {

/// Euclidean norm over the gradients of all trained parameters together: a fixed tree in each
/// tensor, then one over the tensors, so the same bits on any number of threads.
template <Precision P, ExecutionSpace Exec>
class GradientNorm {
public:
  using Gradient = typename P::accumulate;
  using Real = kernels::AccumulatorOf<Gradient>;

  explicit GradientNorm(ParameterList<P, Exec> const& list) {
    for (auto const& entry : list) {
      if (entry.parameter.trained()) {
        gradients_.push_back(
            vector_over<Gradient, Exec>(entry.parameter.gradient().data(), entry.parameter.size()));
      }
    }
    sums_ = Sums("dashi::training::GradientNorm", gradients_.size() + 1);
    total_ = Kokkos::create_mirror_view(Kokkos::subview(sums_, gradients_.size()));
  }

  /// What launch takes from the context's scratch.
  static std::size_t scratch_bytes(ParameterList<P, Exec> const& list) {
    Index largest = 0;
    for (auto const& entry : list) {
      largest = std::max(largest, entry.parameter.trained() ? entry.parameter.size() : 0);
    }
    return std::max(kernels::sum_scratch_bytes<Gradient>(largest),
                    kernels::sum_scratch_bytes<Real>(static_cast<Index>(list.size())));
  }

  /// Asynchronous; value() is right once the context was fenced.
  template <class Provider>
  void launch(Context<Exec, Provider>& ctx) const {
    std::size_t const count = gradients_.size();
    for (std::size_t i = 0; i < count; ++i) {
      kernels::dot(ctx, gradients_[i], gradients_[i], vector_over<Real, Exec>(sums_.data() + i, 1));
    }
    kernels::sum(ctx, vector_over<Real, Exec>(sums_.data(), static_cast<Index>(count)),
                 vector_over<Real, Exec>(sums_.data() + count, 1));
    Kokkos::deep_copy(ctx.exec(), total_, Kokkos::subview(sums_, count));
  }
  double value() const { return std::sqrt(static_cast<double>(total_())); }

private:
  using Sums = Kokkos::View<Real*, typename Exec::memory_space>;

  std::vector<VectorOf<Gradient, Exec>> gradients_;
  Sums sums_;  // one a tensor, then their sum
  typename Kokkos::View<Real, typename Exec::memory_space>::HostMirror total_;
};

/// Factor that brings a gradient of this norm down to `largest`; 1 where it is not above or where
/// `largest` is 0.
inline double clip_factor(double norm, double largest) {
  return largest > 0 && norm > largest ? largest / norm : 1.0;
}

}  // namespace dashi::training
