// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace dashi::merging {

/// LoRA tools disagree on whether the one number alpha has shape [] or [1]; nothing else is alike.
/// Where members disagree, the merged checkpoint has [].
inline bool is_alpha_scalar(std::string_view name, std::vector<std::uint64_t> const& shape) {
  return (name == "alpha" || name.ends_with(".alpha")) &&
         (shape.empty() || (shape.size() == 1 && shape[0] == 1));
}

}  // namespace dashi::merging
