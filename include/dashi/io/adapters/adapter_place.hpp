// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_part.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dashi::io {

/// Rows of a tensor of the base to which rows of a module go.
struct AdapterPiece {
  std::size_t weight = 0;  ///< index into AdapterBase::tensors
  std::string bias;        ///< name; empty without one
  std::uint64_t module_row = 0;
  std::uint64_t tensor_row = 0;
  std::uint64_t rows = 0;

  friend bool operator==(AdapterPiece const&, AdapterPiece const&) = default;
};

/// Whose names a path is in.
enum class NameStyle : std::uint8_t { stored, diffusers, original };

/// One name of a module of the base.
struct AdapterPlace {
  AdapterPart part = AdapterPart::whole;  ///< whole: not known
  std::string path;
  NameStyle style = NameStyle::stored;
  std::vector<AdapterPiece> pieces;
};

}  // namespace dashi::io
