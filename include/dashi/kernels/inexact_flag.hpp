// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

namespace dashi::kernels {

/// Tells whether arithmetic of this thread by these lanes has rounded, where a backend knows: then
/// it has clear() and raised(), and `available` is true.
template <template <class, int> class Lanes>
struct InexactFlag {
  static constexpr bool available = false;
};

}  // namespace dashi::kernels
