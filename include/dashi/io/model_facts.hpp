// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace dashi::io {

/// Whether a pair of metadata says what a model or an adapter is, and so holds for a mean of models
/// that all have it: every key of others, and those of ours (`dashi.`) that no shape tells, such as
/// the number of heads. The rest of ours says where a file comes from.
inline bool is_model_fact(std::string_view key) {
  constexpr std::string_view ours = "dashi.";
  constexpr std::array<std::string_view, 18> facts{
      "adapter",       "base_digest",   "class_dropout", "class_groups",      "diffusion_steps",
      "embedders",     "factorisation", "format",        "guidance_channels", "heads",
      "input_height",  "input_width",   "kept_classes",  "norm_epsilon",      "schedule",
      "tailor_groups", "time_divisor",  "variance"};
  return !key.starts_with(ours) ||
         std::find(facts.begin(), facts.end(), key.substr(ours.size())) != facts.end();
}

}  // namespace dashi::io
