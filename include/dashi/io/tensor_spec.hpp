// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/dtype.hpp>
#include <dashi/io/json_text.hpp>
#include <dashi/io/listing.hpp>
#include <dashi/io/read_options.hpp>
#include <dashi/io/tensor_info.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::io {

/// A tensor to be written.
struct TensorSpec {
  std::string name;
  Dtype dtype = Dtype::u8;
  std::vector<std::uint64_t> shape;  ///< empty for a scalar

  friend bool operator==(TensorSpec const&, TensorSpec const&) = default;
};

namespace detail {

/// Why the name is never written (formats.md 5.3, rule 7), or null.
inline char const* refused_tensor_name(std::string_view name) {
  if (name.empty()) {
    return "an empty name";
  }
  if (name == "__metadata__") {
    return "the name that the format keeps for metadata";
  }
  if (first_invalid_utf8(name) != std::string_view::npos) {
    return "a name that is not UTF-8";
  }
  if (has_control_character(name)) {
    return "a name with a control character";
  }
  if (name.front() == '/' || name.starts_with("../") || name.ends_with("/..") || name == ".." ||
      name.find("/../") != std::string_view::npos) {
    return "a name like a path";
  }
  return nullptr;
}

[[noreturn]] inline void refuse_tensor(std::string_view file, std::string_view name,
                                       std::string found, std::string expected,
                                       std::string advice) {
  throw FormatError({.code = "cannot-write-tensor",
                     .file = std::string(file),
                     .place = "tensor " + in_quotes(name),
                     .found = std::move(found),
                     .expected = std::move(expected),
                     .advice = std::move(advice)});
}

}  // namespace detail

/// Bytes of the tensor's data. Throws FormatError, with `file` as its file, when the tensor cannot
/// be written so that a strict reader takes it: name, rank above 8, an extent, product or bit count
/// above 2^48, or a last byte that is not full.
inline std::uint64_t tensor_bytes(TensorSpec const& spec, std::string_view file = {}) {
  if (char const* const reason = detail::refused_tensor_name(spec.name)) {
    detail::refuse_tensor(file, spec.name, reason,
                          "UTF-8 text without control characters, not like a path",
                          "rename the tensor");
  }
  if (static_cast<int>(spec.shape.size()) > ReadOptions{}.max_rank) {
    detail::refuse_tensor(file, spec.name, "rank " + std::to_string(spec.shape.size()),
                          "at most " + std::to_string(ReadOptions{}.max_rank),
                          "reshape the tensor");
  }
  std::uint64_t bit_count = static_cast<std::uint64_t>(bits(spec.dtype));
  bool fits = true;
  for (std::uint64_t const extent : spec.shape) {
    fits = fits && extent <= largest_number;
  }
  // Every extent but zero counts, so that [2^40, 2^40, 0] is refused as the reader refuses it.
  for (std::uint64_t const extent : spec.shape) {
    if (extent != 0 && fits) {
      fits = bit_count <= largest_number * 8 / extent;
      bit_count *= fits ? extent : 1;
    }
  }
  if (!fits) {
    detail::refuse_tensor(
        file, spec.name, "shape " + shape_text(spec.shape) + " of " + std::string(name(spec.dtype)),
        "at most 2^48 bytes", "split the tensor");
  }
  for (std::uint64_t const extent : spec.shape) {
    bit_count = extent == 0 ? 0 : bit_count;
  }
  if (bit_count % 8 != 0) {
    detail::refuse_tensor(file, spec.name, std::to_string(bit_count) + " bits", "whole bytes",
                          "pad the tensor to a multiple of eight bits");
  }
  return bit_count / 8;
}

}  // namespace dashi::io
