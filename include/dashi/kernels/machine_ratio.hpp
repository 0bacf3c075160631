// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/kernels/kronecker_fuse.hpp>
#include <dashi/kernels/kronecker_mix.hpp>
#include <dashi/kernels/kronecker_plan.hpp>
#include <dashi/kernels/row_products.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <chrono>

namespace dashi::kernels {

namespace detail {

/// Shortest of a few runs of a call, in seconds; the first one only warms up. Fences.
template <class Exec, class Provider, class Call>
double shortest(Context<Exec, Provider>& ctx, Call const& call) {
  double best = 1;
  for (int run = 0; run < 6; ++run) {
    ctx.fence("dashi::kernels::measure_machine_ratio");
    auto const start = std::chrono::steady_clock::now();
    call();
    ctx.fence("dashi::kernels::measure_machine_ratio");
    std::chrono::duration<double> const spent = std::chrono::steady_clock::now() - start;
    best = run == 0 ? best : std::min(best, spent.count());
  }
  return std::max(best, 1e-9);
}

}  // namespace detail

/// Measures the rates for plan_kronecker on arrays of T: a product of 2048 x 144 by 144 x 144, a
/// mix of 256 rows by an 8 x 8 matrix, a merge of 1152 x 1152. Some ten milliseconds; allocates;
/// fences.
///
/// A plan made of it depends on the machine and its load: keep the plan, not the measurement, where
/// the same bits are wanted again.
template <class T, class Exec, class Provider>
MachineRatio measure_machine_ratio(Context<Exec, Provider>& ctx) {
  using Acc = AccumulatorOf<T>;
  using Matrix = Kokkos::View<T**, Kokkos::LayoutRight, typename Exec::memory_space>;
  constexpr std::size_t side = 1152;
  constexpr std::size_t block = 144;
  constexpr std::size_t factor = 8;
  constexpr std::size_t rows = 256;
  Matrix const w("dashi::machine_ratio", side, side);
  Matrix const merged("dashi::machine_ratio", side, side);
  Matrix const a("dashi::machine_ratio", factor, factor);
  Matrix const b("dashi::machine_ratio", block, block);
  Matrix const x("dashi::machine_ratio", rows, side);
  Matrix const y("dashi::machine_ratio", rows, side);
  Kokkos::View<Acc*, typename Exec::memory_space> const weights("dashi::machine_ratio",
                                                                factor * factor);
  T const one = convert<T>(1.0F);
  for (Matrix const& matrix : {w, a, b, x}) {
    Kokkos::deep_copy(ctx.exec(), matrix, one);
  }
  Kokkos::deep_copy(ctx.exec(), weights, Acc(1));

  MachineRatio ratio;
  Rows<T const> const in = read_only(rows_of<T>(x));
  double const flop = 2.0 * rows * side;
  ratio.product_flops =
      flop * block / detail::shortest(ctx, [&] {
        multiply_blocks<Exec, Provider, T>(ctx, factor, in, linalg::Op::transpose,
                                           read_only(rows_of<T>(b)), rows_of<T>(y), {});
      });
  ratio.mix_flops = flop * factor / detail::shortest(ctx, [&] {
                      mix<T>(ctx, weights.data(), factor, factor, in, rows_of<T>(y), true);
                    });
  ratio.bytes_per_second = 3.0 * side * side * sizeof(T) / detail::shortest(ctx, [&] {
                             kronecker_merge(ctx, 1.0, a, b, w, merged);
                           });
  return ratio;
}

}  // namespace dashi::kernels
