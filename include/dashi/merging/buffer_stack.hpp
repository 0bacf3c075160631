// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>

#include <cstddef>
#include <cstdint>

namespace dashi::merging {

/// Hands out parts of a worker's memory, each at a cache line of its own. Does not own the memory.
class BufferStack {
public:
  static constexpr std::uint64_t alignment = 64;

  BufferStack(std::byte* memory, std::uint64_t size) : at_(memory), left_(size) { align(); }

  std::byte* take(std::uint64_t bytes) {
    DASHI_EXPECTS(bytes <= left_, "a segment must fit the memory of a worker");
    std::byte* const taken = at_;
    at_ += bytes;
    left_ -= bytes;
    align();
    return taken;
  }

private:
  void align() {
    std::uint64_t gap = (alignment - reinterpret_cast<std::uintptr_t>(at_) % alignment) % alignment;
    gap = gap < left_ ? gap : left_;
    at_ += gap;
    left_ -= gap;
  }

  std::byte* at_;
  std::uint64_t left_;
};

}  // namespace dashi::merging
