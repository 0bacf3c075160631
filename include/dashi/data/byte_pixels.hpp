// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/data/image_pixels.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace dashi::data {

/// What each 8-bit value means: v / 127.5 - 1, or its negative for inverted images.
inline std::array<float, 256> byte_values(bool invert) {
  std::array<float, 256> values{};
  for (std::size_t v = 0; v < values.size(); ++v) {
    double const value = static_cast<double>(v) / 127.5 - 1.0;
    values[v] = static_cast<float>(invert ? -value : value);
  }
  return values;
}

/// 8-bit images in memory, [images, channels, height, width].
class BytePixels final : public ImagePixels {
public:
  BytePixels(std::vector<std::uint8_t> bytes, bool invert)
      : bytes_(std::move(bytes)), values_(byte_values(invert)) {}

  void read(std::size_t i, std::span<float> chw) const override {
    std::uint8_t const* const image = bytes_.data() + i * chw.size();
    for (std::size_t e = 0; e < chw.size(); ++e) {
      chw[e] = values_[image[e]];
    }
  }
  std::uint64_t memory() const override { return bytes_.size(); }

private:
  std::vector<std::uint8_t> bytes_;
  std::array<float, 256> values_;
};

}  // namespace dashi::data
