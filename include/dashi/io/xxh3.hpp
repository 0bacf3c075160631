// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#if !__has_include(<xxhash.h>)
#error "dashi needs xxhash.h 0.8 or newer (package libxxhash-dev, or xxhash)"
#endif
#define XXH_INLINE_ALL
#include <xxhash.h>
#if XXH_VERSION_NUMBER < 800
#error "dashi needs xxhash.h 0.8 or newer: XXH3 was not stable before"
#endif

#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>

namespace dashi::io {

/// Incremental XXH3, 128 bits, no seed (xxHash 0.8, by Y. Collet). It finds accidents as well as
/// SHA-256 and is as fast as memory, but anyone can make two inputs that agree: it guards nothing
/// against an adversary. Used header-only. One object belongs to one thread at a time.
class Xxh3 {
public:
  using Digest = std::array<std::byte, 16>;  ///< canonical order: most significant byte first
  static constexpr std::string_view prefix = "xxh3-128:";  ///< of its text, before the hexadecimal

  Xxh3() noexcept { XXH3_128bits_reset(&state_); }

  void update(std::span<std::byte const> bytes) noexcept {
    XXH3_128bits_update(&state_, bytes.data(), bytes.size());
  }
  void update(std::string_view text) noexcept { update(std::as_bytes(std::span(text))); }

  /// The digest of everything given so far; the object then starts over.
  Digest finish() noexcept {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state_));
    Digest digest{};
    std::memcpy(digest.data(), canonical.digest, digest.size());
    XXH3_128bits_reset(&state_);
    return digest;
  }

private:
  XXH3_state_t state_;
};

}  // namespace dashi::io
