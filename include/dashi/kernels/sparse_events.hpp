// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace dashi::kernels {

/// Which elements of a call need attention on the host: a bit an element, set by the kernel, read
/// as sorted indices. Keeps its memory, so one object serves many calls of similar length.
template <class Exec>
class ElementFlags {
public:
  /// One byte for eight elements; the kernel writes every one of them.
  std::uint8_t* prepare(Index elements) {
    std::size_t const bytes = static_cast<std::size_t>((elements + 63) / 64 * 8);
    if (flags_.extent(0) < bytes) {
      flags_ = Flags(std::string("dashi::element_flags"), bytes);
    }
    bytes_ = bytes;
    used_ = static_cast<std::size_t>((elements + 7) / 8);
    return flags_.data();
  }

  /// Indices of the elements flagged by the last call; the kernel has finished.
  std::vector<Index> indices() const {
    auto const used = Kokkos::subview(flags_, Kokkos::make_pair(std::size_t{0}, bytes_));
    auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), used);
    std::vector<Index> found;
    for (std::size_t at = 0; at < used_; at += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;  // eight bytes at once: nearly all of them are 0
      std::memcpy(&word, host.data() + at, std::min(used_ - at, sizeof word));
      if constexpr (std::endian::native == std::endian::big) {
        word = __builtin_bswap64(word);
      }
      for (; word != 0; word &= word - 1) {
        found.push_back(static_cast<Index>(8 * at) + std::countr_zero(word));
      }
    }
    return found;
  }

private:
  using Flags = Kokkos::View<std::uint8_t*, typename Exec::memory_space>;
  Flags flags_;
  std::size_t bytes_ = 0;
  std::size_t used_ = 0;
};

/// What an accumulation leaves to sparse lists; indices are relative to the call's vectors, sorted.
template <class Exec>
struct SparseEvents {
  std::vector<Index> spilled;         ///< x outside the window: not added
  std::vector<Index> negative_zeros;  ///< terms w x that are -0
  ElementFlags<Exec> spilled_flags;
  ElementFlags<Exec> negative_zero_flags;
};

}  // namespace dashi::kernels
