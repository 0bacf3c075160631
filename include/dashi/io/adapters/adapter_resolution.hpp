// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_target.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace dashi::io {

/// A module of an adapter that cannot be applied to a base, and why.
struct AdapterMismatch {
  std::size_t module = 0;  ///< index into AdapterFile::modules
  std::string name;        ///< of the module, as people know it
  std::string reason;      ///< one sentence part: "[12, 4] (x) [3, 3] gives [36, 12], ..."
  bool factors = false;    ///< whether the fault is that factors do not multiply to the shape
};

/// Where every module of an adapter goes in one base.
struct AdapterResolution {
  std::vector<AdapterTarget> targets;         ///< by module, then by row of the module
  std::vector<std::string> unmatched;         ///< modules and token embeddings without a place
  std::vector<AdapterMismatch> ambiguous;     ///< several places fit
  std::vector<AdapterMismatch> incompatible;  ///< the place has another shape
  std::vector<std::string> squeezed;          ///< [m, n] meets [m, n, 1, 1]: taken as equal
  std::vector<std::string> ignored;           ///< keys left out on request

  bool complete() const noexcept {
    return unmatched.empty() && ambiguous.empty() && incompatible.empty();
  }
};

}  // namespace dashi::io
