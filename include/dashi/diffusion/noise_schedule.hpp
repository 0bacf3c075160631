// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>

#include <concepts>
#include <type_traits>
#include <vector>

namespace dashi::diffusion {

/// A rule for the variances of the noise that each step of a diffusion process adds. A schedule is
/// a type with
///
///     std::vector<double> betas(Index steps) const;    `steps` numbers, each in (0, 1)
///
/// Shipped: LinearSchedule, CosineSchedule.
template <class S>
concept NoiseSchedule = requires(S const& schedule, Index steps) {
  { schedule.betas(steps) } -> std::same_as<std::vector<double>>;
};

/// Says in a sentence what keeps S from being a NoiseSchedule.
template <class S>
consteval bool require_noise_schedule() {
  if constexpr (!requires(S & schedule, Index steps) { schedule.betas(steps); }) {
    static_assert(NoiseSchedule<S>,
                  "NoiseSchedule: declare std::vector<double> betas(dashi::Index steps) const, the "
                  "variances of the noise of steps 0 to steps - 1");
  } else if constexpr (!requires(S const& schedule, Index steps) { schedule.betas(steps); }) {
    static_assert(NoiseSchedule<S>, "NoiseSchedule: betas must be const");
  } else {
    static_assert(NoiseSchedule<S>,
                  "NoiseSchedule: betas must return std::vector<double>, whatever the precision of "
                  "the network");
  }
  return true;
}

}  // namespace dashi::diffusion
