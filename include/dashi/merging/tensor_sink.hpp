// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace dashi::merging {

/// Receives the merged tensors in parts, in any order, from many threads.
class TensorSink {
public:
  TensorSink() = default;
  TensorSink(TensorSink const&) = delete;
  TensorSink& operator=(TensorSink const&) = delete;
  virtual ~TensorSink() = default;

  /// `tensor` is an index into MergePlan::tensors.
  virtual void write(std::size_t tensor, std::uint64_t byte_offset,
                     std::span<std::byte const> bytes) = 0;
};

}  // namespace dashi::merging
