// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>

#include <Kokkos_Macros.hpp>

#include <cstdint>

namespace dashi::diffusion {

/// Numbers that a process has for each of its steps; alpha = 1 - beta, abar = product of the alphas
/// up to and with the step, abar_prev = that of the step before (1 for step 0), abar_next = that of
/// the step after (0 for the last).
enum class Coefficient : std::int32_t {
  beta,
  alpha_cumprod,
  alpha_cumprod_prev,
  alpha_cumprod_next,
  sqrt_alpha_cumprod,
  sqrt_one_minus_alpha_cumprod,
  sqrt_recip_alpha_cumprod,    ///< sqrt(1 / abar)
  sqrt_recipm1_alpha_cumprod,  ///< sqrt(1 / abar - 1)
  posterior_variance,          ///< beta (1 - abar_prev) / (1 - abar)
  /// Of the posterior; step 0, whose variance is 0, takes that of step 1 (log beta in a process of
  /// one step).
  posterior_log_variance_clipped,
  posterior_mean_x0,  ///< coefficient of x_0: beta sqrt(abar_prev) / (1 - abar)
  posterior_mean_xt,  ///< coefficient of x_t: (1 - abar_prev) sqrt(alpha) / (1 - abar)
  log_beta,
  timestep,  ///< the step of the process that the network was trained with
};
inline constexpr Index coefficients = static_cast<Index>(Coefficient::timestep) + 1;

/// The coefficients as kernels see them: a row for each Coefficient, a column for each step.
struct ProcessView {
  double const* table = nullptr;
  Index steps = 0;

  KOKKOS_FORCEINLINE_FUNCTION bool has(Index step) const { return step >= 0 && step < steps; }
  KOKKOS_FORCEINLINE_FUNCTION double at(Coefficient which, Index step) const {
    return table[static_cast<Index>(which) * steps + step];
  }
};

}  // namespace dashi::diffusion
