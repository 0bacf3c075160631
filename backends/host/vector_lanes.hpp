// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/array_lanes.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace dashi::backends::host {

#define DASHI_LANES_INLINE [[gnu::always_inline]] inline

/// The interface of kernels::ArrayLanes in one vector register (or as many as the enabled
/// instruction set needs), by the vector types of g++ and clang. Every function is inlined into its
/// caller, so the caller's target attribute decides the instructions (tile_runner.hpp). Arguments
/// go by reference: passing 64-byte vectors by value has an ABI that depends on that attribute.
/// No vector comparison is used: g++ 12 lowers one with the target of the function that it stands
/// in, before inlining, so a 64-byte comparison would be taken apart lane by lane.
template <class T, int N>
struct VectorLanes {
  using Element = T;
  using Mask = VectorLanes<kernels::detail::MaskElement<T>, N>;
  static constexpr int size = N;
  typedef T Register __attribute__((vector_size(N * sizeof(T))));

  Register lane;

  /// Through memory: g++ 12 makes that one broadcast, and a vector constructor N insertions,
  /// because it lowers the latter before inlining, for a target without 64-byte registers.
  DASHI_LANES_INLINE static VectorLanes splat(T value) {
    alignas(64) T copies[static_cast<std::size_t>(N)];
    for (T& copy : copies) {
      copy = value;
    }
    return load(copies);
  }
  DASHI_LANES_INLINE static VectorLanes load(T const* from) {
    VectorLanes r;
    __builtin_memcpy(&r.lane, from, sizeof(Register));
    return r;
  }
  DASHI_LANES_INLINE static void prefetch(void const* from) {
    __builtin_prefetch(static_cast<char const*>(from) + 2048);
  }
  DASHI_LANES_INLINE void store(T* to) const { __builtin_memcpy(to, &lane, sizeof(Register)); }

  template <class U>
  DASHI_LANES_INLINE auto as() const {
    using Other = VectorLanes<U, static_cast<int>(N * sizeof(T) / sizeof(U))>;
    return Other{reinterpret_cast<typename Other::Register>(lane)};
  }
  template <class U>
  DASHI_LANES_INLINE VectorLanes<U, N> to() const {
    return {__builtin_convertvector(lane, typename VectorLanes<U, N>::Register)};
  }
  template <int Which>
  DASHI_LANES_INLINE VectorLanes<T, N / 2> part() const {
    VectorLanes<T, N / 2> r;
    __builtin_memcpy(&r.lane, reinterpret_cast<char const*>(&lane) + Which * sizeof(r.lane),
                     sizeof(r.lane));
    return r;
  }
  DASHI_LANES_INLINE static VectorLanes join(VectorLanes<T, N / 2> const& a,
                                             VectorLanes<T, N / 2> const& b) {
    VectorLanes r;
    __builtin_memcpy(&r.lane, &a.lane, sizeof(a.lane));
    __builtin_memcpy(reinterpret_cast<char*>(&r.lane) + sizeof(a.lane), &b.lane, sizeof(b.lane));
    return r;
  }
  DASHI_LANES_INLINE bool any() const {
    if constexpr (sizeof(Register) < 8) {
      std::uint32_t word = 0;
      __builtin_memcpy(&word, &lane, sizeof(Register));
      return word != 0;
    } else {
      std::uint64_t word[sizeof(Register) / 8];
      __builtin_memcpy(word, &lane, sizeof(Register));
      std::uint64_t all = 0;
      for (std::uint64_t const w : word) {
        all |= w;
      }
      return all != 0;
    }
  }

  using A = VectorLanes const&;
  DASHI_LANES_INLINE friend VectorLanes operator+(A a, A b) { return {a.lane + b.lane}; }
  DASHI_LANES_INLINE friend VectorLanes operator-(A a, A b) { return {a.lane - b.lane}; }
  DASHI_LANES_INLINE friend VectorLanes operator*(A a, A b) { return {a.lane * b.lane}; }
  DASHI_LANES_INLINE friend VectorLanes operator/(A a, A b) { return {a.lane / b.lane}; }
  DASHI_LANES_INLINE friend VectorLanes operator&(A a, A b) { return {a.lane & b.lane}; }
  DASHI_LANES_INLINE friend VectorLanes operator|(A a, A b) { return {a.lane | b.lane}; }
  DASHI_LANES_INLINE friend VectorLanes operator^(A a, A b) { return {a.lane ^ b.lane}; }
  DASHI_LANES_INLINE friend VectorLanes operator<<(A a, int by) { return {a.lane << by}; }
  DASHI_LANES_INLINE friend VectorLanes operator>>(A a, int by) { return {a.lane >> by}; }
  DASHI_LANES_INLINE friend VectorLanes shift_left(A a, A by) { return {a.lane << by.lane}; }
  DASHI_LANES_INLINE friend VectorLanes shift_right(A a, A by) { return {a.lane >> by.lane}; }
  DASHI_LANES_INLINE friend Mask operator>(A a, A b) {
    static_assert(std::is_signed_v<T> && std::is_integral_v<T>);
    return {(b.lane - a.lane) >> (8 * static_cast<int>(sizeof(T)) - 1)};
  }
  DASHI_LANES_INLINE friend VectorLanes larger(A a, A b) {
    return {a.lane > b.lane ? a.lane : b.lane};
  }
  DASHI_LANES_INLINE friend VectorLanes smaller(A a, A b) {
    return {a.lane < b.lane ? a.lane : b.lane};
  }
  DASHI_LANES_INLINE friend VectorLanes select(Mask const& mask, A a, A b) {
    using Bits = typename Mask::Register;
    return {reinterpret_cast<Register>((mask.lane & reinterpret_cast<Bits>(a.lane)) |
                                       (~mask.lane & reinterpret_cast<Bits>(b.lane)))};
  }
};

#undef DASHI_LANES_INLINE

}  // namespace dashi::backends::host
