// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/random_purpose.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/diffusion/noise.hpp>

#include <cstdint>

namespace dashi::diffusion {

/// PhiloxNoise for samples in any order: that of sample n belongs to the number numbers[n].
template <class Exec>
struct NumberedNoise {
  std::uint64_t seed = 0;
  VectorOf<std::int64_t const, Exec> numbers;  ///< [samples], each in [0, 2^32)

  /// x of the last step, [samples, size]. Asynchronous.
  template <class Provider, class Out>
  void initial(Context<Exec, Provider>& ctx, Out const& out) const {
    fill_noise(ctx, seed, {random_purpose::start_noise, 0, 0}, numbers, out);
  }
  /// What step `step` of the respaced process adds. Asynchronous.
  template <class Provider, class Out>
  void at_step(Context<Exec, Provider>& ctx, Index step, Out const& out) const {
    fill_noise(ctx, seed, {random_purpose::sampler_noise, static_cast<std::uint64_t>(step), 0},
               numbers, out);
  }
};

}  // namespace dashi::diffusion
