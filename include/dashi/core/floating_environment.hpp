// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/fast_math.hpp>

#include <cfenv>
#include <cstdint>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace dashi {

namespace detail {

#if defined(__SSE2__)
// MXCSR: bits 13-14 rounding (0 = nearest), 15 flush results to zero, 6 treat inputs as zero. The
// x87 unit, whose rounding the C library's number formatting follows, lies in bits 10-11.
using FloatingControl = std::uint32_t;
inline constexpr FloatingControl vector_control_mask = 0xe040U;
static_assert((FE_DOWNWARD | FE_UPWARD | FE_TOWARDZERO) == 0xc00 && FE_TONEAREST == 0);
inline FloatingControl read_floating_control() noexcept {
  return (_mm_getcsr() & vector_control_mask) | static_cast<FloatingControl>(std::fegetround());
}
inline void write_floating_control(FloatingControl control) noexcept {
  std::fesetround(static_cast<int>(control & 0xc00U));
  _mm_setcsr((_mm_getcsr() & ~vector_control_mask) | (control & vector_control_mask));
}
inline constexpr FloatingControl ieee_floating_control = 0;
#elif defined(__aarch64__)
// FPCR: bits 22-23 rounding, 24 flush to zero, 19 the same for half precision, 0 input flush.
using FloatingControl = std::uint64_t;
inline constexpr FloatingControl floating_control_mask = 0x01c80001U;
inline FloatingControl read_floating_control() noexcept {
  std::uint64_t value = 0;
  asm volatile("mrs %0, fpcr" : "=r"(value));
  return value & floating_control_mask;
}
inline void write_floating_control(FloatingControl control) noexcept {
  std::uint64_t value = 0;
  asm volatile("mrs %0, fpcr" : "=r"(value));
  value = (value & ~floating_control_mask) | control;
  asm volatile("msr fpcr, %0" : : "r"(value));
}
inline constexpr FloatingControl ieee_floating_control = 0;
#else
using FloatingControl = int;
inline FloatingControl read_floating_control() noexcept { return std::fegetround(); }
inline void write_floating_control(FloatingControl control) noexcept { std::fesetround(control); }
inline constexpr FloatingControl ieee_floating_control = FE_TONEAREST;
#endif

}  // namespace detail

/// Whether the calling thread rounds to nearest and keeps subnormals, as IEEE 754 starts out.
inline bool floating_environment_is_ieee() noexcept {
  return detail::read_floating_control() == detail::ieee_floating_control;
}

/// While it lives, the calling thread rounds to nearest and keeps subnormals; then the modes found
/// come back. Other libraries switch them for a whole process, and results would depend on that.
class FloatingEnvironment {
public:
  FloatingEnvironment() noexcept : found_(detail::read_floating_control()) {
    detail::write_floating_control(detail::ieee_floating_control);
  }
  ~FloatingEnvironment() { detail::write_floating_control(found_); }
  FloatingEnvironment(FloatingEnvironment const&) = delete;
  FloatingEnvironment& operator=(FloatingEnvironment const&) = delete;

  /// Whether nothing had to be changed.
  bool found_ieee() const noexcept { return found_ == detail::ieee_floating_control; }

private:
  detail::FloatingControl found_;
};

}  // namespace dashi
