// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/linalg/element.hpp>
#include <dashi/linalg/operand.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <type_traits>

namespace dashi::linalg {

namespace detail {

/// Partial results of norms, kept by the context: doubles, or bits of numbers.
template <class Exec>
struct NormPartials {
  static constexpr Index most = 1024;
  Kokkos::View<std::uint64_t*, typename Exec::memory_space> device{"dashi::norms", most};
  typename Kokkos::View<std::uint64_t*, typename Exec::memory_space>::HostMirror host =
      Kokkos::create_mirror_view(device);
};

/// As integers the bits of magnitudes have the order of the numbers, infinity and NaN come last.
template <class T>
struct LargestMagnitude {
  using Partial = typename FloatFormat<T>::Bits;
  KOKKOS_INLINE_FUNCTION static Partial join(Partial a, Partial b) { return a > b ? a : b; }
  KOKKOS_INLINE_FUNCTION Partial term(T x) const {
    return __builtin_bit_cast(Partial, x) & FloatFormat<T>::magnitude_mask;
  }
};

template <class T>
struct SumOfSquares {
  using Partial = double;
  double scale;
  KOKKOS_INLINE_FUNCTION static double join(double a, double b) { return a + b; }
  KOKKOS_INLINE_FUNCTION double term(T x) const {
    double const scaled = convert<double>(x) * scale;
    return scaled * scaled;
  }
};

KOKKOS_INLINE_FUNCTION std::uint64_t partial_bits(double x) {
  return __builtin_bit_cast(std::uint64_t, x);
}
template <std::unsigned_integral Bits>
KOKKOS_INLINE_FUNCTION std::uint64_t partial_bits(Bits bits) {
  return bits;
}

/// Joins the terms of contiguous numbers into lanes, number j into lane j mod 16.
template <Index Lanes, class T, class Reduction>
KOKKOS_INLINE_FUNCTION void join_run(Reduction const& reduction, T const* x, Index count,
                                     typename Reduction::Partial* lane) {
  Index j = 0;
  for (; j + Lanes <= count; j += Lanes) {
    for (Index l = 0; l < Lanes; ++l) {
      lane[l] = Reduction::join(lane[l], reduction.term(x[j + l]));
    }
  }
  for (Index l = 0; j < count; ++j, ++l) {
    lane[l] = Reduction::join(lane[l], reduction.term(x[j]));
  }
}

/// Joins lanes, blocks of elements and at last the blocks, in an order that depends on the extents
/// only. Row-major order; a block is a run of that order.
template <class Exec, class T, class Reduction>
typename Reduction::Partial reduce_matrix(Exec const& exec, NormPartials<Exec> const& partials,
                                          Operand<T const> const& a, Reduction const& reduction) {
  using Partial = typename Reduction::Partial;
  constexpr Index lanes = 16;
  constexpr Index least = 4096;
  Index const count = a.rows * a.cols;
  Index const wanted = (count + NormPartials<Exec>::most - 1) / NormPartials<Exec>::most;
  Index const block = wanted < least ? least : (wanted + lanes - 1) / lanes * lanes;
  Index const blocks = (count + block - 1) / block;
  T const* const data = a.data;
  Index const cols = a.cols;
  Index const ld = a.ld;
  std::uint64_t* const out = partials.device.data();
  Kokkos::parallel_for(
      "dashi::linalg::norm", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, blocks),
      KOKKOS_LAMBDA(Index b) {
        Partial lane[lanes] = {};
        Index const end = b * block + block < count ? b * block + block : count;
        for (Index at = b * block; at < end;) {
          Index const col = at % cols;
          Index const run = cols - col < end - at ? cols - col : end - at;
          join_run<lanes>(reduction, data + at / cols * ld + col, run, lane);
          at += run;
        }
        for (Index half = lanes / 2; half > 0; half /= 2) {
          for (Index l = 0; l < half; ++l) {
            lane[l] = Reduction::join(lane[l], lane[l + half]);
          }
        }
        out[b] = partial_bits(lane[0]);
      });
  Kokkos::deep_copy(exec, partials.host, partials.device);
  exec.fence("dashi::linalg::norm");
  Partial part[NormPartials<Exec>::most] = {};
  for (Index b = 0; b < blocks; ++b) {
    std::uint64_t const bits = partials.host.data()[b];
    if constexpr (std::is_same_v<Partial, double>) {
      part[b] = __builtin_bit_cast(double, bits);
    } else {
      part[b] = static_cast<Partial>(bits);
    }
  }
  for (Index left = blocks; left > 1;) {
    Index const half = (left + 1) / 2;
    for (Index i = 0; i + half < left; ++i) {
      part[i] = Reduction::join(part[i], part[i + half]);
    }
    left = half;
  }
  return part[0];
}

template <class Exec, class Provider, class View>
auto norm_operand(Context<Exec, Provider>&, View const& view) {
  static_assert(require_operand<View, Exec>());
  static_assert(GemmElement<typename View::non_const_value_type>,
                "dashi::linalg: norms take double, float, dashi::BFloat16 or dashi::Float16");
  auto const a = operand_of(view, "A");
  return Operand<typename View::const_value_type>{a.data, 1, a.rows, a.cols, a.ld, 0};
}

}  // namespace detail

/// The largest magnitude in a matrix; NaN when there is one. Fences. The same bits for any space
/// and number of threads.
template <class Exec, class Provider, class View>
double max_norm(Context<Exec, Provider>& ctx, View const& view) {
  auto const a = detail::norm_operand(ctx, view);
  auto const& partials = ctx.attachments().template get<detail::NormPartials<Exec>>();
  using T = typename View::non_const_value_type;
  return convert<double>(__builtin_bit_cast(
      T, detail::reduce_matrix(ctx.exec(), partials, a, detail::LargestMagnitude<T>{})));
}

/// The root of the sum of squares, added in double in a fixed tree; a second pass is made when the
/// squares leave the range of double. Fences. The same bits for any number of threads.
template <class Exec, class Provider, class View>
double frobenius_norm(Context<Exec, Provider>& ctx, View const& view) {
  auto const a = detail::norm_operand(ctx, view);
  auto const& partials = ctx.attachments().template get<detail::NormPartials<Exec>>();
  using T = typename View::non_const_value_type;
  double const sum =
      detail::reduce_matrix(ctx.exec(), partials, a, detail::SumOfSquares<T>{.scale = 1});
  if (sum > 1e-280 && sum < 1e300) {
    return std::sqrt(sum);
  }
  double const largest = max_norm(ctx, view);
  if (largest == 0 || !std::isfinite(largest)) {
    return largest;
  }
  int exponent = 0;
  std::frexp(largest, &exponent);
  int const shift = std::min(-exponent, 1000);  // 2^-exponent of a subnormal number is infinite
  double const scaled = detail::reduce_matrix(
      ctx.exec(), partials, a, detail::SumOfSquares<T>{.scale = std::ldexp(1.0, shift)});
  return std::ldexp(std::sqrt(scaled), -shift);
}

}  // namespace dashi::linalg
