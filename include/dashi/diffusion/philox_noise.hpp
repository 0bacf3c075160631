// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/random_purpose.hpp>
#include <dashi/diffusion/noise.hpp>

#include <cstdint>

namespace dashi::diffusion {

/// The noise of sampling from a seed: that of sample n of a batch belongs to the number
/// first_sample + n, whatever the batch it is in.
struct PhiloxNoise {
  std::uint64_t seed = 0;
  std::uint32_t first_sample = 0;

  /// x of the last step, [samples, size]. Asynchronous.
  template <class Exec, class Provider, class Out>
  void initial(Context<Exec, Provider>& ctx, Out const& out) const {
    fill_noise(ctx, seed, {random_purpose::start_noise, 0, first_sample}, out);
  }
  /// What step `step` of the respaced process adds. Asynchronous.
  template <class Exec, class Provider, class Out>
  void at_step(Context<Exec, Provider>& ctx, Index step, Out const& out) const {
    fill_noise(ctx, seed,
               {random_purpose::sampler_noise, static_cast<std::uint64_t>(step), first_sample},
               out);
  }
};

}  // namespace dashi::diffusion
