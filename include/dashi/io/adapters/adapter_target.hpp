// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace dashi::io {

/// Where a module of an adapter goes: rows of its change to as many rows of a weight of the base.
/// A fused module of the adapter (qkv) has several, on a base that keeps its thirds apart; a third
/// goes to rows of the fused weight of a base.
struct AdapterTarget {
  std::size_t module = 0;  ///< index into AdapterFile::modules
  std::string tensor;      ///< of the base: its weight
  std::string bias;        ///< of the base: its bias; empty without one
  std::uint64_t module_row = 0;
  std::uint64_t tensor_row = 0;
  std::uint64_t rows = 0;
};

}  // namespace dashi::io
