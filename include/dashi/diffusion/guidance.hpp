// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>

namespace dashi::diffusion {

/// Classifier-free guidance (Ho and Salimans, arXiv 2207.12598): predicted noise = that without a
/// class + scale * (that of the class - that without).
struct Guidance {
  double scale = 1;  ///< 1: off, the network sees each sample once
  Index channels =
      3;  ///< how many channels of the noise are guided (DiT: the first 3 of 4); 0: all

  bool on() const noexcept { return scale != 1; }
};

/// guided[n] = the guided first channels and, in all other columns, the output of the class.
///
/// output: rows 0 .. samples - 1 with their classes, and with guidance on as many rows again
/// without class, [samples or 2 samples, columns]; guided [samples, columns]. The first channels *
/// pixels columns are the noise, `pixels` a channel. Asynchronous.
template <class Exec, class Provider, class Output, class Guided>
void guide(Context<Exec, Provider>& ctx, Guidance const& guidance, Index channels, Index pixels,
           Output const& output, Guided const& guided) {
  using T = typename Output::non_const_value_type;
  using Out = typename Guided::value_type;
  kernels::RowsOf<T const, Exec> const from(output);
  kernels::RowsOf<Out, Exec> const to(guided);
  kernels::detail::expect_extents(from, "output of guide", (guidance.on() ? 2 : 1) * to.rows,
                                  to.cols);
  DASHI_EXPECTS(guidance.channels >= 0 && channels * pixels <= to.cols,
                "guide: the noise has more columns than the output");
  Index const mixed = guidance.channels == 0 ? channels : std::min(guidance.channels, channels);
  Index const mixed_columns = guidance.on() ? mixed * pixels : 0;
  double const scale = guidance.scale;
  kernels::Rows<T const> const source = from;
  kernels::Rows<Out> const result = to;
  Kokkos::parallel_for(
      "dashi::diffusion::guide",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(ctx.exec(), 0, to.rows * to.cols),
      KOKKOS_LAMBDA(Index task) {
        Index const n = task / result.cols;
        Index const i = task - n * result.cols;
        auto value = convert<double>(source.row(n)[i]);
        if (i < mixed_columns) {
          auto const without = convert<double>(source.row(n + result.rows)[i]);
          value = without + scale * (value - without);
        }
        result.row(n)[i] = convert<Out>(value);
      });
}

}  // namespace dashi::diffusion
