// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/data/image_shape.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dashi::data {

/// Images as an array file has them, before options are applied: bytes or floats, [count, channels,
/// height, width].
struct ImageArray {
  std::string path;
  std::size_t count = 0;
  ImageShape shape;
  bool is_bytes = false;
  std::vector<std::uint8_t> bytes;
  std::vector<float> floats;
  std::optional<std::vector<std::int64_t>> labels;
  std::string labels_path;  ///< where they came from, or where they were looked for
};

}  // namespace dashi::data
