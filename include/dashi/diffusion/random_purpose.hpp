// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstdint>

/// Purposes of this module's random numbers (RandomPlace::purpose).
namespace dashi::diffusion::random_purpose {

inline constexpr std::uint16_t training_noise = 0xd100;
inline constexpr std::uint16_t timesteps = 0xd101;
inline constexpr std::uint16_t initial_noise = 0xd102;  ///< x_T of a sample
inline constexpr std::uint16_t sampler_noise = 0xd103;

}  // namespace dashi::diffusion::random_purpose
