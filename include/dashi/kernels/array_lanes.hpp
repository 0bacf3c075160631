// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <Kokkos_Macros.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace dashi::kernels {

namespace detail {
template <class T>
using MaskElement =
    std::conditional_t<sizeof(T) == 2, std::int16_t,
                       std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>>;
}  // namespace detail

/// N numbers that one thread works on together, as a plain array: the form for devices and for any
/// compiler. `backends/host` has the same interface in vector registers. A comparison gives lanes
/// of -1 (true) and 0 (false) of the same width.
template <class T, int N>
struct ArrayLanes {
  using Element = T;
  using Mask = ArrayLanes<detail::MaskElement<T>, N>;
  static constexpr int size = N;

  T lane[static_cast<std::size_t>(N)];

  KOKKOS_FORCEINLINE_FUNCTION static ArrayLanes splat(T value) {
    return make([&](int) { return value; });
  }
  KOKKOS_FORCEINLINE_FUNCTION static ArrayLanes load(T const* from) {
    return make([&](int i) { return from[i]; });
  }
  /// Hint that the caller will soon read a few kilobytes further on; nothing here.
  KOKKOS_FORCEINLINE_FUNCTION static void prefetch(void const*) {}
  KOKKOS_FORCEINLINE_FUNCTION void store(T* to) const {
    for (int i = 0; i < N; ++i) {
      to[i] = lane[i];
    }
  }

  /// The same bytes as lanes of U.
  template <class U>
  KOKKOS_FORCEINLINE_FUNCTION ArrayLanes<U, static_cast<int>(N * sizeof(T) / sizeof(U))> as()
      const {
    return __builtin_bit_cast(ArrayLanes<U, static_cast<int>(N * sizeof(T) / sizeof(U))>, *this);
  }
  /// The same values as U.
  template <class U>
  KOKKOS_FORCEINLINE_FUNCTION ArrayLanes<U, N> to() const {
    return ArrayLanes<U, N>::make([&](int i) { return static_cast<U>(lane[i]); });
  }
  /// The lower (0) or upper (1) half.
  template <int Which>
  KOKKOS_FORCEINLINE_FUNCTION ArrayLanes<T, N / 2> part() const {
    return ArrayLanes<T, N / 2>::make([&](int i) { return lane[Which * (N / 2) + i]; });
  }
  KOKKOS_FORCEINLINE_FUNCTION static ArrayLanes join(ArrayLanes<T, N / 2> const& a,
                                                     ArrayLanes<T, N / 2> const& b) {
    return make([&](int i) { return i < N / 2 ? a.lane[i] : b.lane[i - N / 2]; });
  }
  KOKKOS_FORCEINLINE_FUNCTION bool any() const {
    bool found = false;
    for (int i = 0; i < N; ++i) {
      found = found || lane[i] != 0;
    }
    return found;
  }

  template <class F>
  KOKKOS_FORCEINLINE_FUNCTION static ArrayLanes make(F const& f) {
    ArrayLanes r;
    for (int i = 0; i < N; ++i) {
      r.lane[i] = static_cast<T>(f(i));
    }
    return r;
  }

  /// Integers wrap, as those of vector registers do: window sums are two's complement.
  KOKKOS_FORCEINLINE_FUNCTION static constexpr auto wrapping(T value) {
    if constexpr (std::is_integral_v<T>) {
      return static_cast<std::make_unsigned_t<T>>(value);
    } else {
      return value;
    }
  }

  using A = ArrayLanes const&;
  KOKKOS_FORCEINLINE_FUNCTION friend ArrayLanes operator+(A a, A b) {
    return make([&](int i) { return wrapping(a.lane[i]) + wrapping(b.lane[i]); });
  }
  KOKKOS_FORCEINLINE_FUNCTION friend ArrayLanes operator-(A a, A b) {
    return make([&](int i) { return wrapping(a.lane[i]) - wrapping(b.lane[i]); });
  }
  KOKKOS_FORCEINLINE_FUNCTION friend ArrayLanes operator*(A a, A b) {
    return make([&](int i) { return wrapping(a.lane[i]) * wrapping(b.lane[i]); });
  }
  KOKKOS_FORCEINLINE_FUNCTION friend ArrayLanes operator/(A a, A b) {
    return make([&](int i) { return a.lane[i] / b.lane[i]; });
  }
  KOKKOS_FORCEINLINE_FUNCTION friend ArrayLanes operator&(A a, A b) {
    return make([&](int i) { return a.lane[i] & b.lane[i]; });
  }
  KOKKOS_FORCEINLINE_FUNCTION friend ArrayLanes operator|(A a, A b) {
    return make([&](int i) { return a.lane[i] | b.lane[i]; });
  }
  KOKKOS_FORCEINLINE_FUNCTION friend ArrayLanes operator^(A a, A b) {
    return make([&](int i) { return a.lane[i] ^ b.lane[i]; });
  }
  KOKKOS_FORCEINLINE_FUNCTION friend ArrayLanes operator<<(A a, int by) {
    return make([&](int i) { return a.lane[i] << by; });
  }
  KOKKOS_FORCEINLINE_FUNCTION friend ArrayLanes operator>>(A a, int by) {
    return make([&](int i) { return a.lane[i] >> by; });
  }
  /// Lane by lane, each by less than the width.
  KOKKOS_FORCEINLINE_FUNCTION friend ArrayLanes shift_left(A a, A by) {
    return make([&](int i) { return a.lane[i] << by.lane[i]; });
  }
  KOKKOS_FORCEINLINE_FUNCTION friend ArrayLanes shift_right(A a, A by) {
    return make([&](int i) { return a.lane[i] >> by.lane[i]; });
  }
  /// Signed lanes whose difference does not overflow.
  KOKKOS_FORCEINLINE_FUNCTION friend Mask operator>(A a, A b) {
    static_assert(std::is_signed_v<T> && std::is_integral_v<T>);
    return Mask::make([&](int i) { return a.lane[i] > b.lane[i] ? -1 : 0; });
  }
  /// Integer lanes.
  KOKKOS_FORCEINLINE_FUNCTION friend ArrayLanes larger(A a, A b) {
    return make([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  KOKKOS_FORCEINLINE_FUNCTION friend ArrayLanes smaller(A a, A b) {
    return make([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  KOKKOS_FORCEINLINE_FUNCTION friend ArrayLanes select(Mask const& mask, A a, A b) {
    return make([&](int i) { return mask.lane[i] != 0 ? a.lane[i] : b.lane[i]; });
  }
};

}  // namespace dashi::kernels
