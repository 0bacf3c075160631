// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/diffusion/process_view.hpp>
#include <dashi/diffusion/timestep_distribution.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>

namespace dashi::training::detail {

template <class Exec>
Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>> over(Exec const& exec, std::size_t count) {
  return {exec, 0, static_cast<Index>(count)};
}

/// What the network is told at steps t of the process; NaN for one that it lacks.
template <class Exec>
void map_timesteps(Exec const& exec, diffusion::ProcessView process,
                   VectorOf<std::int64_t const, Exec> t, VectorOf<double, Exec> timesteps) {
  Kokkos::parallel_for(
      "dashi::training::map_timesteps", over(exec, t.extent(0)), KOKKOS_LAMBDA(Index n) {
        timesteps(n) = process.has(t(n)) ? process.at(diffusion::Coefficient::timestep, t(n))
                                         : Kokkos::Experimental::quiet_NaN_v<double>;
      });
}

/// Weights of samples whose steps are given, as draw_timesteps has them.
template <class Exec>
void weigh_timesteps(Exec const& exec, diffusion::TimestepTable table,
                     VectorOf<std::int64_t const, Exec> t, Index part_size,
                     VectorOf<double, Exec> weight) {
  Kokkos::parallel_for(
      "dashi::training::weigh_timesteps", over(exec, t.extent(0)), KOKKOS_LAMBDA(Index n) {
        bool const has = t(n) >= 0 && t(n) < table.steps;
        weight(n) = has ? table.loss_weight[t(n)] / static_cast<double>(part_size)
                        : Kokkos::Experimental::quiet_NaN_v<double>;
      });
}

template <class Exec>
void scale(Exec const& exec, VectorOf<double, Exec> x, double factor) {
  Kokkos::parallel_for(
      "dashi::training::scale", over(exec, x.extent(0)),
      KOKKOS_LAMBDA(Index n) { x(n) *= factor; });
}

}  // namespace dashi::training::detail
