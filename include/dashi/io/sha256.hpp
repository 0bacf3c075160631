// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>

#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>

namespace dashi::io {

/// The 32 bytes of a SHA-256 digest, in the order the standard prints them.
using Sha256Digest = std::array<std::byte, 32>;

/// Incremental SHA-256 (FIPS 180-4) by OpenSSL, which picks the processor's instructions for it.
/// Needs libcrypto. One object belongs to one thread at a time. Throws VendorError.
class Sha256 {
public:
  using Digest = Sha256Digest;
  static constexpr std::string_view prefix{};  ///< of its text, before the hexadecimal

  Sha256() : context_(EVP_MD_CTX_new()) {
    if (!context_) {
      throw std::bad_alloc();
    }
    restart();
  }

  void update(std::span<std::byte const> bytes) {
    expect(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
  }
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }

  /// The digest of everything given so far; the object then starts over.
  Sha256Digest finish() {
    Sha256Digest digest{};
    expect(EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()),
                              nullptr));
    restart();
    return digest;
  }

private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
  };

  static void expect(int status) {
    if (status != 1) {
      throw VendorError({.code = "digest",
                         .file = {},
                         .place = {},
                         .found = "OpenSSL refused to compute a SHA-256 digest",
                         .expected = {},
                         .advice = "check the OpenSSL installation"});
    }
  }
  void restart() { expect(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr)); }

  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

/// SHA-256 of one buffer.
inline Sha256Digest sha256(std::span<std::byte const> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

/// Lower-case hexadecimal, two characters a byte.
inline std::string hex(std::span<std::byte const> bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (std::byte const b : bytes) {
    out.push_back(digits[std::to_integer<unsigned>(b) >> 4]);
    out.push_back(digits[std::to_integer<unsigned>(b) & 15U]);
  }
  return out;
}

}  // namespace dashi::io
