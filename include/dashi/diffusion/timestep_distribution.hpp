// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/concepts.hpp>
#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/philox.hpp>
#include <dashi/diffusion/timestep_policy.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <Kokkos_Core.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

namespace dashi::diffusion {

/// The tables of a distribution as kernels see them.
struct TimestepTable {
  double const* cumulative;   ///< [steps], sums of frequencies up to and with the step
  double const* loss_weight;  ///< [steps]
  Index steps;
  Index last;  ///< the last step that is ever drawn

  /// The step at which the cumulative probability first exceeds u in [0, 1).
  KOKKOS_INLINE_FUNCTION Index draw(double u) const {
    double const wanted = u * cumulative[steps - 1];
    Index low = 0;
    Index high = last;
    while (low < high) {
      Index const middle = low + (high - low) / 2;
      if (cumulative[middle] > wanted) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }
};

/// How a policy draws the steps of one part of a batch: tables in double, on the host and in the
/// memory of the default execution space. Copies share the tables. Needs Kokkos initialised.
class TimestepDistribution {
public:
  /// Frequencies must be finite, not negative and not all 0; loss weights finite.
  template <class Policy>
  TimestepDistribution(Policy const& policy, BatchPart part, Index steps) {
    static_assert(require_timestep_policy<Policy>());
    DASHI_EXPECTS(steps > 0, "a process has at least one step");
    device_ = Table("dashi::diffusion::TimestepDistribution", std::size_t{2},
                    static_cast<std::size_t>(steps));
    host_ = Kokkos::create_mirror_view(device_);
    for (Index k = 0; k < steps; ++k) {
      add(k, policy.frequency(part, k, steps), policy.loss_weight(part, k, steps));
    }
    DASHI_EXPECTS(total_ > 0, "a policy must draw some step");
    Kokkos::deep_copy(device_, host_);
  }

  Index steps() const noexcept { return static_cast<Index>(host_.extent(1)); }
  /// Sum of the frequencies.
  double total() const noexcept { return total_; }
  /// Expected step.
  double mean() const noexcept { return moment_ / total_; }
  /// Of drawing this step; 0 <= step < steps().
  double probability(Index step) const {
    DASHI_EXPECTS(
        step >= 0 && step < steps(),
        "step " + std::to_string(step) + " of a distribution over " + std::to_string(steps()));
    auto const k = static_cast<std::size_t>(step);
    return (host_(0, k) - (k > 0 ? host_(0, k - 1) : 0.0)) / total_;
  }

  /// For kernels on Exec; valid while a copy of this distribution lives.
  template <ExecutionSpace Exec>
  TimestepTable view() const {
    if constexpr (AccessibleFrom<HostTable, Exec>) {
      return {host_.data(), host_.data() + steps(), steps(), last_};
    } else {
      static_assert(AccessibleFrom<Table, Exec>,
                    "TimestepDistribution: kernels run on the host or on Kokkos' default execution "
                    "space");
      return {device_.data(), device_.data() + steps(), steps(), last_};
    }
  }

private:
  using Table =
      Kokkos::View<double**, Kokkos::LayoutRight, Kokkos::DefaultExecutionSpace::memory_space>;
  using HostTable = typename Table::HostMirror;

  void add(Index step, double frequency, double loss_weight) {
    DASHI_EXPECTS(std::isfinite(frequency) && frequency >= 0 && std::isfinite(loss_weight),
                  "frequency " + std::to_string(frequency) + " and loss weight " +
                      std::to_string(loss_weight) + " of step " + std::to_string(step) +
                      "; both must be finite, the first not negative");
    total_ += frequency;
    moment_ += frequency * static_cast<double>(step);
    if (frequency > 0) {
      last_ = step;
    }
    host_(0, static_cast<std::size_t>(step)) = total_;
    host_(1, static_cast<std::size_t>(step)) = loss_weight;
  }

  Table device_;
  HostTable host_;
  double total_ = 0;
  double moment_ = 0;
  Index last_ = 0;
};

/// t[n] = a step drawn for sample first.sample + n, by the inverse of the cumulative distribution
/// at the sample's uniform number 0 (Philox, double): the same for any batch, thread count and
/// device.
///
/// sample_weight[n] = its loss weight / part_size, where part_size is the number of samples of this
/// part in the whole training step (at least those of t): sum_n sample_weight[n] loss[n] over all
/// parts and shards is then the loss of the batch. Both [samples]; sample_weight may be empty.
/// Asynchronous.
template <class Exec, class Provider>
void draw_timesteps(Context<Exec, Provider>& ctx, TimestepDistribution const& distribution,
                    std::uint64_t seed, RandomPlace first, Index part_size,
                    VectorOf<std::int64_t, Exec> t, VectorOf<double, Exec> sample_weight = {}) {
  auto const samples = static_cast<Index>(t.extent(0));
  bool const weighs = sample_weight.extent(0) != 0;
  if (weighs) {
    kernels::detail::expect_size(sample_weight.extent(0), "sample_weight of draw_timesteps",
                                 samples);
    DASHI_EXPECTS(part_size >= samples, "draw_timesteps: part_size counts these samples too");
  }
  TimestepTable const table = distribution.view<Exec>();
  Kokkos::parallel_for(
      "dashi::diffusion::draw_timesteps",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(ctx.exec(), 0, samples),
      KOKKOS_LAMBDA(Index n) {
        RandomPlace place = first;
        place.sample += static_cast<std::uint32_t>(n);
        Index const step = table.draw(Philox(seed, place).template uniform<double>(0));
        t(n) = step;
        if (weighs) {
          sample_weight(n) = table.loss_weight[step] / static_cast<double>(part_size);
        }
      });
}

}  // namespace dashi::diffusion
