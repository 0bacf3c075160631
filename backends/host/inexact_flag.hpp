// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/inexact_flag.hpp>

#include "vector_lanes.hpp"

#if defined(__x86_64__)

namespace dashi::kernels {

/// The bit of MXCSR, which costs no operation to keep. The bits that were found come back at the
/// end.
template <>
struct InexactFlag<backends::host::VectorLanes> {
  static constexpr bool available = true;

  InexactFlag() noexcept : found_(__builtin_ia32_stmxcsr()) {}
  ~InexactFlag() { __builtin_ia32_ldmxcsr(found_); }
  InexactFlag(InexactFlag const&) = delete;
  InexactFlag& operator=(InexactFlag const&) = delete;

  /// Before what is to be watched: it must read memory.
  __attribute__((always_inline)) void clear() const noexcept {
    asm volatile("" : : : "memory");
    __builtin_ia32_ldmxcsr(found_ & ~all);
    asm volatile("" : : : "memory");
  }
  /// Whether a result since clear() was rounded. All that counts must lie in `results`: the
  /// compiler may compute other things when it likes.
  __attribute__((always_inline)) bool raised(void const* results) const noexcept {
    asm volatile("" : : "r"(results) : "memory");
    bool const rounded = (__builtin_ia32_stmxcsr() & inexact) != 0;
    asm volatile("" : : : "memory");
    return rounded || !is_kept();
  }

private:
  /// Some emulators, Valgrind among them, do not keep it: then all counts as rounded.
  static bool is_kept() noexcept {
    static bool const kept = [] {
      unsigned const found = __builtin_ia32_stmxcsr();
      __builtin_ia32_ldmxcsr(found & ~all);
      float volatile sum = 1.0F;
      sum = sum + 0x1p-30F;
      bool const raised = (__builtin_ia32_stmxcsr() & inexact) != 0;
      __builtin_ia32_ldmxcsr(found);
      return raised;
    }();
    return kept;
  }

  static constexpr unsigned all = 0x3f;
  static constexpr unsigned inexact = 0x20;
  unsigned found_;
};

}  // namespace dashi::kernels

#endif
