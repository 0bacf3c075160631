// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/kernels/kronecker_dot.hpp>
#include <dashi/kernels/kronecker_mix.hpp>
#include <dashi/kernels/run_tasks.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <Kokkos_Core.hpp>

namespace dashi::kernels {

namespace detail {

/// A task of a host: the dots of its rows, then the mix of those rows while they are in cache.
template <class T>
struct DotsAndMixKernel {
  DotKernel<T> dots;
  MixKernel<T> mix;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index task = begin; task < end; ++task) {
      dots.template tile<Lanes, Bytes>(task, task + 1);
      Index const first = task * dot_rows;
      Index const last = first + dot_rows < mix.in.rows ? first + dot_rows : mix.in.rows;
      mix.template tile<Lanes, Bytes>(first, last);
    }
  }
};

}  // namespace detail

/// block_dots of x and y, then out[t, p, :] = Σ_q weights[p, q] in[t, q, :], where `in` is x or y:
/// the same bits as by one after the other. On hosts `in` is read once. Asynchronous.
template <class T, class Exec, class Provider>
void block_dots_and_mix(Context<Exec, Provider>& ctx, Rows<T const> x, Index left, Rows<T const> y,
                        Index right, AccumulatorOf<T>* partial, AccumulatorOf<T> const* weights,
                        Index outputs, Index inputs, Rows<T const> in, Rows<T> out) {
  if constexpr (runs_on_host<Exec>) {
    if (x.rows > 0 && left > 0 && right > 0 && out.cols > 0) {
      run_tasks("dashi::kernels::block_dots_and_mix", ctx.exec(), block_dot_terms<Exec>(x.rows),
                detail::DotsAndMixKernel<T>{
                    {x, y, left, right, x.cols / left, partial},
                    detail::mix_kernel<Exec, T>(weights, outputs, inputs, in, out, false)});
      return;
    }
  }
  block_dots<T>(ctx, x, left, y, right, partial);
  mix<T>(ctx, weights, outputs, inputs, in, out, false);
}

}  // namespace dashi::kernels
