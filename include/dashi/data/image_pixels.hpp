// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace dashi::data {

/// Where the numbers of an ImageSet come from: memory, files, or a formula.
class ImagePixels {
public:
  ImagePixels() = default;
  ImagePixels(ImagePixels const&) = delete;
  ImagePixels& operator=(ImagePixels const&) = delete;
  virtual ~ImagePixels() = default;

  /// Writes image i, in range, as [channels, height, width]. Any number of threads may read.
  virtual void read(std::size_t i, std::span<float> chw) const = 0;
  /// Bytes of memory that the pixels take.
  virtual std::uint64_t memory() const = 0;
};

}  // namespace dashi::data
