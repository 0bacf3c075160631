// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/diffusion/process.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/reduce_lanes.hpp>
#include <dashi/kernels/run_tasks.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>
#include <type_traits>

namespace dashi::diffusion {

namespace detail {

/// Type of arithmetic between arrays of these types.
template <class... T>
using RealOf = std::common_type_t<kernels::AccumulatorOf<T>...>;

template <class X, class E, class Out>
struct QSampleKernel {
  using Real = RealOf<X, E, Out>;
  ProcessView process;
  std::int64_t const* t;
  kernels::Rows<X const> x0;
  kernels::Rows<E const> noise;
  kernels::Rows<Out> x_t;
  kernels::RowPieces pieces;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index task = begin; task < end; ++task) {
      auto const [row, first, last] = pieces.piece(task);
      auto const signal = coefficient(Coefficient::sqrt_alpha_cumprod, t[row]);
      auto const spread = coefficient(Coefficient::sqrt_one_minus_alpha_cumprod, t[row]);
      if (pieces.width == 1) {
        x_t.row(row)[first] = convert<Out>(signal * convert<Real>(x0.row(row)[first]) +
                                           spread * convert<Real>(noise.row(row)[first]));
        continue;
      }
      for (Index c = first; c < last; c += kernels::detail::chunk_size) {
        Index const count =
            last - c < kernels::detail::chunk_size ? last - c : kernels::detail::chunk_size;
        kernels::detail::Chunk<Real> a;
        kernels::detail::Chunk<Real> b;
        a.load(x0.row(row) + c, count);
        b.load(noise.row(row) + c, count);
        for (Index i = 0; i < kernels::detail::chunk_size; ++i) {
          a.value[i] = signal * a.value[i] + spread * b.value[i];
        }
        a.store(x_t.row(row) + c, count);
      }
    }
  }

private:
  KOKKOS_FORCEINLINE_FUNCTION Real coefficient(Coefficient which, Index step) const {
    return process.has(step) ? static_cast<Real>(process.at(which, step))
                             : Kokkos::Experimental::quiet_NaN_v<Real>;
  }
};

}  // namespace detail

/// x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise, each sample at its own step (Ho et al., arXiv
/// 2006.11239, equation 4). x0, noise, x_t [samples, any], of any storage types; t [samples], steps
/// of the process: a step it lacks gives NaN. x_t may be x0 or noise. Asynchronous.
template <class Exec, class Provider, class X0, class Noise, class Xt>
void q_sample(Context<Exec, Provider>& ctx, Process const& process, X0 const& x0,
              VectorOf<std::int64_t const, Exec> t, Noise const& noise, Xt const& x_t) {
  using X = typename X0::non_const_value_type;
  using E = typename Noise::non_const_value_type;
  using Out = typename Xt::value_type;
  kernels::RowsOf<X const, Exec> const from(x0);
  kernels::RowsOf<E const, Exec> const added(noise);
  kernels::RowsOf<Out, Exec> const to(x_t);
  kernels::detail::expect_extents(from, "x0 of q_sample", to.rows, to.cols);
  kernels::detail::expect_extents(added, "noise of q_sample", to.rows, to.cols);
  kernels::detail::expect_size(t.extent(0), "t of q_sample", to.rows);
  kernels::RowPieces const pieces = kernels::row_pieces<Exec>(to.cols);
  kernels::run_tasks(
      "dashi::diffusion::q_sample", ctx.exec(), to.rows * pieces.per_row,
      detail::QSampleKernel<X, E, Out>{process.view<Exec>(), t.data(), from, added, to, pieces});
}

}  // namespace dashi::diffusion
