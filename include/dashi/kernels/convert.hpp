// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/float_convert.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>
#include <limits>
#include <type_traits>

namespace dashi {

/// Elements of a conversion that a user must hear about.
struct ConversionCounts {
  Index overflowed = 0;  ///< finite, but beyond the target's range after rounding
  Index infinite = 0;    ///< infinite in the source
  Index nan = 0;         ///< NaN in the source
  Index first = -1;      ///< smallest index of any of these; -1 when there is none

  Index total() const noexcept { return overflowed + infinite + nan; }
};

namespace detail {

struct ConversionSums {
  Index overflowed = 0, infinite = 0, nan = 0;
  KOKKOS_INLINE_FUNCTION ConversionSums& operator+=(ConversionSums const& other) {
    overflowed += other.overflowed;
    infinite += other.infinite;
    nan += other.nan;
    return *this;
  }
};

/// Bits of |value| as float, or as double where the value is one.
template <class From>
KOKKOS_INLINE_FUNCTION constexpr auto wide_magnitude(From value) {
  using Wide = std::conditional_t<std::is_same_v<From, double>, double, float>;
  using W = FloatFormat<Wide>;
  return same_bits<typename W::Bits>(convert<Wide>(value)) & W::magnitude_mask;
}

/// wide_magnitude from which on a value does not survive as a finite number.
template <class From, class To>
inline constexpr auto lost_from =
    overflow_magnitude<To, std::conditional_t<std::is_same_v<From, double>, double, float>>();

/// Elements one index of the parallel loop converts: on the host a block, whose inner loop the
/// compiler vectorises; on a device one, so that neighbours touch neighbours.
template <class Exec>
inline constexpr Index conversion_block =
    std::is_same_v<typename Exec::memory_space, Kokkos::HostSpace> ? 4096 : 1;

template <class Exec, Overflow Mode, class From, class To>
struct ConvertValues {
  VectorOf<From const, Exec> from;
  VectorOf<To, Exec> to;

  KOKKOS_INLINE_FUNCTION void operator()(Index block, ConversionSums& sums) const {
    Index const begin = block * conversion_block<Exec>;
    Index const size = static_cast<Index>(from.extent(0));
    Index const end = size - begin < conversion_block<Exec> ? size : begin + conversion_block<Exec>;
    From const* const in = from.data();
    To* const out = to.data();
    for (Index i = begin; i < end; ++i) {
      out[i] = convert<To, Mode>(in[i]);
    }
    // A loop of its own, over what is still in cache: together they would not vectorise.
    using Bits = decltype(wide_magnitude(From{}));
    constexpr Bits infinity = std::is_same_v<From, double>
                                  ? Bits(FloatFormat<double>::exponent_mask)
                                  : FloatFormat<float>::exponent_mask;
    Bits lost = 0, nonfinite = 0, nan = 0;
    for (Index i = begin; i < end; ++i) {
      Bits const magnitude = wide_magnitude(in[i]);
      lost += static_cast<Bits>(magnitude >= lost_from<From, To>);
      nonfinite += static_cast<Bits>(magnitude >= infinity);
      nan += static_cast<Bits>(magnitude > infinity);
    }
    sums.overflowed += static_cast<Index>(lost - nonfinite);
    sums.infinite += static_cast<Index>(nonfinite - nan);
    sums.nan += static_cast<Index>(nan);
  }
};

template <class Exec, class From, class To>
struct FirstNoted {
  VectorOf<From const, Exec> from;
  KOKKOS_INLINE_FUNCTION void operator()(Index i, Index& first) const {
    if (i < first && wide_magnitude(from.data()[i]) >= lost_from<From, To>) {
      first = i;
    }
  }
};

}  // namespace detail

/// to[i] = convert(from[i]), with counts of what did not survive as a finite number.
/// Views of equal length that do not overlap. Fences: the counts are on the host.
template <Overflow Mode = Overflow::ieee, class Exec, class Provider, VectorView From,
          VectorView To>
  requires AccessibleFrom<From, Exec> && AccessibleFrom<To, Exec> ConversionCounts
  convert_values(Context<Exec, Provider>& ctx, From const& from, To const& to) {
    using Source = typename From::non_const_value_type;
    using Target = typename To::value_type;
    static_assert(FloatType<Source> && FloatType<Target>,
                  "dashi::convert_values: element types must have a dashi::FloatFormat");
    static_assert(!std::is_const_v<Target>, "dashi::convert_values: the target is const");
    DASHI_EXPECTS(from.extent(0) == to.extent(0), "source and target must have the same length");
    auto const size = static_cast<Index>(from.extent(0));
    using Policy = Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>;
    constexpr Index block = detail::conversion_block<Exec>;

    detail::ConversionSums sums;
    Kokkos::parallel_reduce("dashi::convert_values",
                            Policy(ctx.exec(), 0, size / block + (size % block != 0 ? 1 : 0)),
                            detail::ConvertValues<Exec, Mode, Source, Target>{from, to}, sums);
    ConversionCounts counts{sums.overflowed, sums.infinite, sums.nan, -1};
    if (counts.total() > 0) {
      Kokkos::parallel_reduce("dashi::convert_values", Policy(ctx.exec(), 0, size),
                              detail::FirstNoted<Exec, Source, Target>{from},
                              Kokkos::Min<Index>(counts.first));
    }
    return counts;
  }

}  // namespace dashi
