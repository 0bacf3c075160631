// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/cast.hpp>
#include <dashi/training/optimizer.hpp>

#include <Kokkos_Core.hpp>

namespace dashi::training {

namespace detail {

template <class T, class Exec>
void swap_vectors(Exec const& exec, VectorOf<T, Exec> a, VectorOf<T, Exec> b) {
  Kokkos::parallel_for(
      "dashi::training::swap_vectors",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, static_cast<Index>(a.extent(0))),
      KOKKOS_LAMBDA(Index i) {
        T const kept = a(i);
        a(i) = b(i);
        b(i) = kept;
      });
}

template <Precision P, ExecutionSpace Exec>
MatrixOf<typename P::master, Exec> as_row(VectorOf<typename P::master, Exec> x) {
  return matrix_over<typename P::master, Exec>(x.data(), 1, static_cast<Index>(x.extent(0)));
}

}  // namespace detail

/// While it lives, the model computes with the moving averages of its parameters: for samples and
/// validation losses. Needs no memory: averages and values change places, or, where the model has
/// masters, values are rounded from the one and then again from the other. Does nothing for an
/// optimizer without averages. No step meanwhile. Asynchronous, its end too.
template <Precision P, ExecutionSpace Exec, class Provider>
class AveragedValues {
public:
  AveragedValues(Context<Exec, Provider>& ctx, Optimizer<P, Exec> const& optimizer)
      : ctx_(ctx), optimizer_(optimizer) {
    for (auto const& slot : optimizer.slots()) {
      replace(slot, slot.average);
    }
  }
  ~AveragedValues() {
    for (auto const& slot : optimizer_.slots()) {
      replace(slot, slot.parameter.master());
    }
  }
  AveragedValues(AveragedValues const&) = delete;
  AveragedValues& operator=(AveragedValues const&) = delete;

private:
  using Slot = OptimizerSlot<P, Exec>;

  void replace(Slot const& slot, [[maybe_unused]] VectorOf<typename P::master, Exec> by) const {
    if (slot.average.extent(0) == 0) {
      return;
    }
    if constexpr (Parameter<P, Exec>::has_own_master) {
      auto const value = slot.parameter.vector();
      kernels::cast(ctx_, detail::as_row<P, Exec>(by),
                    matrix_over<typename P::storage, Exec>(value.data(), 1,
                                                           static_cast<Index>(value.extent(0))));
    } else {
      detail::swap_vectors<typename P::master>(ctx_.exec(), slot.parameter.vector(), slot.average);
    }
  }

  Context<Exec, Provider>& ctx_;
  Optimizer<P, Exec> const& optimizer_;
};

}  // namespace dashi::training
