// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/tensor_info.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dashi::io {

/// A checked safetensors header. The tensors cover the data buffer without hole or overlap, and no
/// name occurs twice.
struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;              ///< in order of their data
  std::map<std::string, std::string> metadata;  ///< the `__metadata__` object
  std::uint64_t data_begin = 0;        ///< file offset of the data buffer: 8 + header length
  std::vector<std::string> warnings;   ///< whole sentences, not yet escaped
  std::vector<std::uint32_t> by_name;  ///< indices of `tensors`, sorted by name (bytewise)

  /// The tensor of that name, or null. Logarithmic.
  TensorInfo const* find(std::string_view name) const {
    auto const at = std::lower_bound(
        by_name.begin(), by_name.end(), name,
        [&](std::uint32_t index, std::string_view wanted) { return tensors[index].name < wanted; });
    return at != by_name.end() && tensors[*at].name == name ? &tensors[*at] : nullptr;
  }

  /// Bytes of the data buffer.
  std::uint64_t data_bytes() const noexcept { return tensors.empty() ? 0 : tensors.back().end; }
};

}  // namespace dashi::io
