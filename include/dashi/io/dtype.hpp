// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dashi::io {

/// Element types of the safetensors format. Every one is carried through unchanged; only those of
/// is_averaged() take part in arithmetic on checkpoints.
enum class Dtype : std::uint8_t {
  boolean,  ///< BOOL, one byte, 0 or 1
  f4,       ///< F4, OCP E2M1, half a byte
  f6_e2m3,  ///< F6_E2M3, six bits
  f6_e3m2,  ///< F6_E3M2, six bits
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  c64,  ///< C64, two F32
  f64,
  i64,
  u64,
};

inline constexpr std::size_t dtype_count = 22;

namespace detail {

struct DtypeRow {
  std::string_view name;
  int bits;
};

inline constexpr std::array<DtypeRow, dtype_count> dtype_rows{{
    {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
    {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
    {"I64", 64},        {"U64", 64},
}};

}  // namespace detail

/// The format's spelling: "BF16".
constexpr std::string_view name(Dtype dtype) noexcept {
  return detail::dtype_rows[static_cast<std::size_t>(dtype)].name;
}

/// Bits of one element; 4 and 6 for the sub-byte types.
constexpr int bits(Dtype dtype) noexcept {
  return detail::dtype_rows[static_cast<std::size_t>(dtype)].bits;
}

/// Exact, case-sensitive match of the format's spelling.
constexpr std::optional<Dtype> parse_dtype(std::string_view text) noexcept {
  for (std::size_t i = 0; i < dtype_count; ++i) {
    if (detail::dtype_rows[i].name == text) {
      return static_cast<Dtype>(i);
    }
  }
  return std::nullopt;
}

/// Whether tensors of this type are averaged; all other types are only copied.
constexpr bool is_averaged(Dtype dtype) noexcept {
  return dtype == Dtype::f16 || dtype == Dtype::bf16 || dtype == Dtype::f32 || dtype == Dtype::f64;
}

/// All spellings, comma separated, for messages.
inline std::string dtype_names() {
  std::string out;
  for (detail::DtypeRow const& row : detail::dtype_rows) {
    out += (out.empty() ? "" : ", ") + std::string(row.name);
  }
  return out;
}

}  // namespace dashi::io
