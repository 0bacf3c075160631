// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/float_convert.hpp>
#include <dashi/diffusion/process.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <Kokkos_Core.hpp>

namespace dashi::diffusion::detail {

/// x_0 as a predicted noise implies it: sqrt(1 / abar) x_t - sqrt(1 / abar - 1) noise.
struct PredictX0 {
  double per_x;
  double per_noise;
  bool clip;

  PredictX0(Process const& process, Index step, bool clip_to_unit)
      : per_x(process.at(Coefficient::sqrt_recip_alpha_cumprod, step)),
        per_noise(process.at(Coefficient::sqrt_recipm1_alpha_cumprod, step)),
        clip(clip_to_unit) {}

  KOKKOS_FORCEINLINE_FUNCTION double value(double x, double noise) const {
    double const x0 = per_x * x - per_noise * noise;
    if (clip) {
      return x0 < -1.0 ? -1.0 : x0 > 1.0 ? 1.0 : x0;
    }
    return x0;
  }
  /// The noise that implies x0, which may have been clipped.
  KOKKOS_FORCEINLINE_FUNCTION double noise(double x, double x0, double predicted) const {
    return clip ? (per_x * x - x0) / per_noise : predicted;
  }
};

/// Calls kernel.element(n, i) for every element of [rows, cols]; asynchronous.
template <class Exec, class Kernel>
void for_each_element(char const* label, Exec const& exec, Index rows, Index cols,
                      Kernel const& kernel) {
  Kokkos::parallel_for(
      label, Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, rows * cols),
      KOKKOS_LAMBDA(Index task) {
        Index const n = task / cols;
        kernel.element(n, task - n * cols);
      });
}

}  // namespace dashi::diffusion::detail
