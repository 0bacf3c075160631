// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/data/image_pixels.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace dashi::data {

/// Numbers in memory, [images, channels, height, width].
class FloatPixels final : public ImagePixels {
public:
  explicit FloatPixels(std::vector<float> values) : values_(std::move(values)) {}

  void read(std::size_t i, std::span<float> chw) const override {
    std::copy_n(values_.data() + i * chw.size(), chw.size(), chw.data());
  }
  std::uint64_t memory() const override { return values_.size() * sizeof(float); }

private:
  std::vector<float> values_;
};

}  // namespace dashi::data
