// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/linalg/element.hpp>
#include <dashi/linalg/operand.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace dashi::linalg {

namespace detail {

/// Partial results of norms, kept by the context.
template <class Exec>
struct NormPartials {
  static constexpr Index most = 1024;
  Kokkos::View<double*, typename Exec::memory_space> device{"dashi::norms", most};
  typename Kokkos::View<double*, typename Exec::memory_space>::HostMirror host =
      Kokkos::create_mirror_view(device);
};

struct LargestMagnitude {
  /// NaN wins, whichever side it stands on.
  KOKKOS_INLINE_FUNCTION static double join(double a, double b) { return a > b || a != a ? a : b; }
  KOKKOS_INLINE_FUNCTION double term(double x) const { return Kokkos::fabs(x); }
};

struct SumOfSquares {
  double scale;
  KOKKOS_INLINE_FUNCTION static double join(double a, double b) { return a + b; }
  KOKKOS_INLINE_FUNCTION double term(double x) const { return x * scale * (x * scale); }
};

/// Joins lanes, blocks of elements and at last the blocks, in an order that depends on the extents
/// only. Row-major order; a block is a run of that order.
template <class Exec, class T, class Reduction>
double reduce_matrix(Exec const& exec, NormPartials<Exec> const& partials, Operand<T> const& a,
                     Reduction const& reduction) {
  constexpr Index lanes = 8;
  constexpr Index least = 4096;
  Index const count = a.rows * a.cols;
  Index const wanted = (count + NormPartials<Exec>::most - 1) / NormPartials<Exec>::most;
  Index const block = wanted < least ? least : (wanted + lanes - 1) / lanes * lanes;
  Index const blocks = (count + block - 1) / block;
  T const* const data = a.data;
  Index const cols = a.cols;
  Index const ld = a.ld;
  auto const out = partials.device;
  Kokkos::parallel_for(
      "dashi::linalg::norm", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, blocks),
      KOKKOS_LAMBDA(Index b) {
        double lane[lanes] = {};
        Index at = b * block;
        Index const end = at + block < count ? at + block : count;
        while (at < end) {
          Index const col = at % cols;
          Index const run = cols - col < end - at ? cols - col : end - at;
          T const* const x = data + at / cols * ld + col;
          Index j = 0;
          for (; j + lanes <= run; j += lanes) {
            for (Index l = 0; l < lanes; ++l) {
              lane[l] = Reduction::join(lane[l], reduction.term(convert<double>(x[j + l])));
            }
          }
          for (Index l = 0; j < run; ++j, ++l) {
            lane[l] = Reduction::join(lane[l], reduction.term(convert<double>(x[j])));
          }
          at += run;
        }
        for (Index half = lanes / 2; half > 0; half /= 2) {
          for (Index l = 0; l < half; ++l) {
            lane[l] = Reduction::join(lane[l], lane[l + half]);
          }
        }
        out(b) = lane[0];
      });
  Kokkos::deep_copy(exec, partials.host, partials.device);
  exec.fence("dashi::linalg::norm");
  double* const sums = partials.host.data();
  for (Index left = blocks; left > 1;) {
    Index const half = (left + 1) / 2;
    for (Index i = 0; i + half < left; ++i) {
      sums[i] = Reduction::join(sums[i], sums[i + half]);
    }
    left = half;
  }
  return blocks > 0 ? sums[0] : 0.0;
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
  return detail::reduce_matrix(ctx.exec(), partials, a, detail::LargestMagnitude{});
}

/// The root of the sum of squares, added in double in a fixed tree; a second pass is made when the
/// squares leave the range of double. Fences. The same bits for any number of threads.
template <class Exec, class Provider, class View>
double frobenius_norm(Context<Exec, Provider>& ctx, View const& view) {
  auto const a = detail::norm_operand(ctx, view);
  auto const& partials = ctx.attachments().template get<detail::NormPartials<Exec>>();
  double const sum =
      detail::reduce_matrix(ctx.exec(), partials, a, detail::SumOfSquares{.scale = 1});
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
      ctx.exec(), partials, a, detail::SumOfSquares{.scale = std::ldexp(1.0, shift)});
  return std::ldexp(std::sqrt(scaled), -shift);
}

}  // namespace dashi::linalg
