// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/parameter_list.hpp>
#include <dashi/kernels/adamw.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace dashi::training {

/// A trained parameter and what the optimizer keeps of it; flat, as in files by `shape`.
template <Precision P, ExecutionSpace Exec>
struct OptimizerSlot {
  using Master = typename P::master;
  std::string name;
  std::vector<Index> shape;
  Parameter<P, Exec> parameter;
  VectorOf<Master, Exec> first_moment, second_moment;
  VectorOf<Master, Exec> average;  ///< empty where there is none
};

/// AdamW with a moving average over the trained parameters of a list; frozen ones take no memory
/// and are their own average. Owns moments and averages: two or three masters' worth.
template <Precision P, ExecutionSpace Exec>
class Optimizer {
public:
  using Master = typename P::master;
  using Slot = OptimizerSlot<P, Exec>;
  using Kernel = kernels::AdamW<Master, typename P::accumulate, typename P::storage, Exec>;

  /// Moments begin at 0, averages as copies of the masters. Which parameters are trained must not
  /// change while it lives. Fences.
  template <class Provider>
  Optimizer(Context<Exec, Provider>& ctx, ParameterList<P, Exec> const& list, bool averages)
      : memory_("dashi::training::Optimizer", elements(list, averages)),
        slots_(make_slots(list, averages)),
        adamw_(ctx, tensors()) {
    restart_averages();
    ctx.fence("dashi::training::Optimizer");
  }

  std::vector<Slot> const& slots() const noexcept { return slots_; }
  bool has_averages() const { return !slots_.empty() && slots_.front().average.extent(0) > 0; }
  /// Of the trained parameters.
  Index parameters() const { return adamw_.parameters(); }
  /// Launches updates; its tensors are those of slots(), in order.
  Kernel const& kernel() const noexcept { return adamw_; }

  /// Averages become copies of the masters. Fences.
  void restart_averages() const {
    for (Slot const& slot : slots_) {
      if (slot.average.extent(0) > 0) {
        Kokkos::deep_copy(slot.average, slot.parameter.master());
      }
    }
  }

  static std::size_t bytes(ParameterList<P, Exec> const& list, bool averages) {
    return elements(list, averages) * sizeof(Master);
  }

private:
  // Each tensor begins at a cache line of two.
  static std::size_t padded(Index size) { return (static_cast<std::size_t>(size) + 31) / 32 * 32; }
  static std::size_t elements(ParameterList<P, Exec> const& list, bool averages) {
    std::size_t total = 0;
    for (auto const& entry : list) {
      total += entry.parameter.trained() ? padded(entry.parameter.size()) : 0;
    }
    return total * (averages ? 3 : 2);
  }

  std::vector<Slot> make_slots(ParameterList<P, Exec> const& list, bool averages) const {
    std::vector<Slot> slots;
    std::size_t at = 0;
    for (auto const& entry : list) {
      if (!entry.parameter.trained()) {
        continue;
      }
      Index const size = entry.parameter.size();
      auto const take = [&] {
        auto const view = vector_over<Master, Exec>(memory_.data() + at, size);
        at += padded(size);
        return view;
      };
      Slot slot{entry.name, entry.shape, entry.parameter, take(), take(), {}};
      if (averages) {
        slot.average = take();
      }
      slots.push_back(std::move(slot));
    }
    return slots;
  }

  std::vector<typename Kernel::Tensor> tensors() const {
    std::vector<typename Kernel::Tensor> tensors;
    for (Slot const& slot : slots_) {
      auto const gradient = slot.parameter.gradient();
      typename Kernel::Tensor tensor{
          slot.parameter.master(),
          vector_over<typename P::accumulate const, Exec>(gradient.data(), slot.parameter.size()),
          slot.first_moment,
          slot.second_moment,
          slot.average,
          {}};
      if constexpr (Parameter<P, Exec>::has_own_master) {
        tensor.shadow = slot.parameter.vector();
      }
      tensors.push_back(tensor);
    }
    return tensors;
  }

  Kokkos::View<Master*, Kokkos::LayoutRight, typename Exec::memory_space> memory_;
  std::vector<Slot> slots_;
  Kernel adamw_;
};

}  // namespace dashi::training
