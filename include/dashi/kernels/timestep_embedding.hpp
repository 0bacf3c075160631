// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <Kokkos_Core.hpp>

namespace dashi::kernels {

struct TimestepFrequencies {
  double longest_period = 10000;
  double shift =
      0;  ///< exponents are i / (half - shift); 1 in the class-label embedding of diffusers
};

/// out[n] = (cos(t f_0), ..., cos(t f_half-1), sin(t f_0), ...), half = cols / 2,
/// f_i = longest_period^(-i / (half - shift)); an odd last column is 0 (DiT's TimestepEmbedder,
/// after arXiv 2006.11239). t [samples]: steps, whole or not, as double. No parameters, so no
/// adjoint. Computed in double, rounded once. Asynchronous.
template <class Exec, class Provider, class Out>
void timestep_embedding(Context<Exec, Provider>& ctx, VectorOf<double const, Exec> t,
                        Out const& out, TimestepFrequencies const& frequencies = {}) {
  using T = typename Out::value_type;
  RowsOf<T, Exec> const to(out);
  detail::expect_size(t.extent(0), "t of timestep_embedding", to.rows);
  Index const half = to.cols / 2;
  double const divisor = static_cast<double>(half) - frequencies.shift;
  DASHI_EXPECTS(half <= 1 || divisor > 0,
                "timestep_embedding: shift must be smaller than half the columns");
  double const slope = half <= 1 ? 0.0 : -Kokkos::log(frequencies.longest_period) / divisor;
  Rows<T> const rows = to;
  Kokkos::parallel_for(
      "dashi::kernels::timestep_embedding",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(ctx.exec(), 0, rows.rows * rows.cols),
      KOKKOS_LAMBDA(Index task) {
        Index const n = task / rows.cols;
        Index const c = task - n * rows.cols;
        Index const i = c < half ? c : c - half;
        double const angle = t(n) * Kokkos::exp(slope * static_cast<double>(i));
        double const value = c < half ? Kokkos::cos(angle) : i < half ? Kokkos::sin(angle) : 0.0;
        rows.row(n)[c] = convert<T>(value);
      });
}

}  // namespace dashi::kernels
