// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#if defined(__x86_64__) && !defined(__CUDACC__) && !defined(__HIPCC__)
#define DASHI_HAS_INEXACT_FLAG
#include <immintrin.h>
#endif

namespace dashi {

#if defined(DASHI_HAS_INEXACT_FLAG)

/// Tells whether vector arithmetic of this thread has rounded. A processor keeps that in a bit for
/// itself, so that a proof that nothing did costs no operation. The bits that were found come back
/// at the end.
class InexactFlag {
public:
  InexactFlag() noexcept : found_(_mm_getcsr()) {}
  ~InexactFlag() { _mm_setcsr(found_); }
  InexactFlag(InexactFlag const&) = delete;
  InexactFlag& operator=(InexactFlag const&) = delete;

  /// Before what is to be watched: it must read memory.
  __attribute__((always_inline)) void clear() const noexcept {
    asm volatile("" : : : "memory");
    _mm_setcsr(found_ & ~all);
    asm volatile("" : : : "memory");
  }
  /// Whether a result since clear() was rounded. All that counts must lie in `results`: the
  /// compiler may compute other things when it likes.
  __attribute__((always_inline)) bool raised(void const* results) const noexcept {
    asm volatile("" : : "r"(results) : "memory");
    bool const rounded = (_mm_getcsr() & inexact) != 0;
    asm volatile("" : : : "memory");
    return rounded;
  }

private:
  static constexpr unsigned all = 0x3f;
  static constexpr unsigned inexact = 0x20;
  unsigned found_;
};

#endif

}  // namespace dashi
