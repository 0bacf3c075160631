// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/io/safetensors_header.hpp>

#include "header_oracle.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace dashi::test {

/// The library's reading of a whole file held in memory, in the oracle's terms.
inline std::optional<OracleFile> library_read(std::string_view file, bool lenient,
                                              std::string& message) {
  try {
    std::span<std::byte const> const bytes(reinterpret_cast<std::byte const*>(file.data()),
                                           file.size());
    io::SafetensorsHeader const header =
        io::parse_safetensors_header("memory", bytes, file.size(), {.lenient = lenient});
    OracleFile out{.tensors = {}, .metadata = header.metadata};
    for (io::TensorInfo const& info : header.tensors) {
      out.tensors[info.name] = {std::string(name(info.dtype)), info.shape, info.begin, info.end};
      if (header.find(info.name) != &info) {
        message = "find() does not return the tensor";
        return std::nullopt;
      }
    }
    message = "accepted";
    return out;
  } catch (FormatError const& error) {
    message = error.what();
    return std::nullopt;
  }
}

/// Empty when library and oracle agree on acceptance and content, else what they said.
inline std::string disagreement(std::string_view file, bool lenient) {
  std::string message;
  std::optional<OracleFile> const ours = library_read(file, lenient, message);
  std::optional<OracleFile> const theirs = oracle_read(file, lenient);
  if (ours == theirs) {
    return {};
  }
  return "library: " + message + "; oracle: " + (theirs ? "accepted" : "rejected");
}

}  // namespace dashi::test
