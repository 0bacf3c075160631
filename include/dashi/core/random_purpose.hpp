// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstdint>

namespace dashi {

/// First part of a random number's place (RandomPlace::purpose): numbers drawn for different
/// purposes never meet. Values are part of what makes a run repeatable: add, never renumber.
namespace random_purpose {

inline constexpr std::uint16_t initialisation = 1;  ///< of parameters
inline constexpr std::uint16_t data_order = 2;
inline constexpr std::uint16_t timesteps = 3;
inline constexpr std::uint16_t noise = 4;  ///< that is added to training data
inline constexpr std::uint16_t label_dropout = 5;
inline constexpr std::uint16_t flip = 6;  ///< of images
inline constexpr std::uint16_t source_order = 7;
inline constexpr std::uint16_t start_noise = 8;    ///< x_T of sampling
inline constexpr std::uint16_t sampler_noise = 9;  ///< of each sampling step
inline constexpr std::uint16_t evaluation = 60;    ///< fixed noise of losses that are compared
inline constexpr std::uint16_t random_features = 0x4d46;  ///< weights of metrics
inline constexpr std::uint16_t procedural_data = 0x5053;  ///< images that are drawn

}  // namespace random_purpose

}  // namespace dashi
