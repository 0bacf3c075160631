// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/accumulator.hpp>
#include <dashi/kernels/row_products.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <Kokkos_Core.hpp>

#include <cmath>
#include <cstddef>
#include <type_traits>

namespace dashi::kernels {

/// norms[i] = |w[i, :]|, summed in double. w [m, n], norms [m] of accumulator type. Reads w once.
/// Asynchronous.
template <class T, class Exec, class Provider>
void row_norms(Context<Exec, Provider>& ctx, RowsArgument<T const, Exec> const& w,
               std::type_identity_t<VectorOf<AccumulatorOf<T>, Exec>> norms) {
  detail::expect_size(norms.extent(0), "norms", w.rows);
  if (w.rows == 0) {
    return;
  }
  using Policy = Kokkos::TeamPolicy<Exec, Kokkos::IndexType<Index>>;
  Rows<T const> const rows = plain<T const>(w);
  Kokkos::parallel_for(
      "dashi::kernels::row_norms", Policy(ctx.exec(), static_cast<int>(w.rows), Kokkos::AUTO),
      KOKKOS_LAMBDA(typename Policy::member_type const& team) {
        Index const i = team.league_rank();
        double sum = 0;
        Kokkos::parallel_reduce(
            Kokkos::TeamThreadRange(team, rows.cols),
            [&](Index c, double& part) {
              auto const x = convert<double>(rows.row(i)[c]);
              part += x * x;
            },
            sum);
        Kokkos::single(Kokkos::PerTeam(team),
                       [&] { norms(i) = static_cast<AccumulatorOf<T>>(Kokkos::sqrt(sum)); });
      });
}

/// norms[j] = |w[:, j]|, summed in double from the first row to the last. w [m, n], norms [n] of
/// accumulator type. Reads w once. Asynchronous.
template <class T, class Exec, class Provider>
void column_norms(Context<Exec, Provider>& ctx, RowsArgument<T const, Exec> const& w,
                  std::type_identity_t<VectorOf<AccumulatorOf<T>, Exec>> norms) {
  detail::expect_size(norms.extent(0), "norms", w.cols);
  constexpr Index width = runs_on_host<Exec> ? 32 : 1;  // columns that one thread sums
  Rows<T const> const rows = plain<T const>(w);
  Kokkos::parallel_for(
      "dashi::kernels::column_norms",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(ctx.exec(), 0,
                                                          (w.cols + width - 1) / width),
      KOKKOS_LAMBDA(Index strip) {
        Index const first = strip * width;
        Index const count = first + width < rows.cols ? width : rows.cols - first;
        double sums[static_cast<std::size_t>(width)] = {};
        for (Index i = 0; i < rows.rows; ++i) {
          for (Index c = 0; c < count; ++c) {
            auto const x = convert<double>(rows.row(i)[first + c]);
            sums[c] += x * x;
          }
        }
        for (Index c = 0; c < count; ++c) {
          norms(first + c) = static_cast<AccumulatorOf<T>>(Kokkos::sqrt(sums[c]));
        }
      });
}

/// What DoRA (arXiv 2402.09353, section 4) makes of the outputs of a map whose changed weight has
/// rows of norms `norm`, and whose base's rows have norms `base`: y becomes scale y + offset with
/// scale = (base + change) / norm, offset = (1 - scale) bias, so that the bias stays as it is.
/// Rows of norm zero have scale 1. All [m]; bias may be empty. Of columns alike, [n]: their scale
/// is the inputs', and there is no bias.
template <class T, class Exec>
struct WeightDecomposition {
  VectorOf<AccumulatorOf<T> const, Exec> base, norm;
  VectorOf<T const, Exec> change;
  VectorOf<T const, Exec> bias;

  /// Fills scale and, where they are not empty, offset and excess = scale - 1. Asynchronous.
  template <class Provider>
  void scales(Context<Exec, Provider>& ctx, VectorOf<T, Exec> scale, VectorOf<T, Exec> offset,
              VectorOf<T, Exec> excess = {}) const {
    auto const self = *this;
    Kokkos::parallel_for(
        "dashi::kernels::weight_decomposition",
        Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(ctx.exec(), 0,
                                                            static_cast<Index>(scale.extent(0))),
        KOKKOS_LAMBDA(Index i) {
          using Acc = AccumulatorOf<T>;
          Acc const factor = self.norm(i) == Acc(0)
                                 ? Acc(1)
                                 : (self.base(i) + convert<Acc>(self.change(i))) / self.norm(i);
          T const stored = convert<T>(factor);
          scale(i) = stored;
          if (offset.extent(0) > 0) {
            Acc const b = self.bias.extent(0) > 0 ? convert<Acc>(self.bias(i)) : Acc(0);
            offset(i) = convert<T>((Acc(1) - convert<Acc>(stored)) * b);
          }
          if (excess.extent(0) > 0) {
            excess(i) = convert<T>(factor - Acc(1));
          }
        });
  }

  /// gradient += that of `change`, given the sums over rows of dy y, y before the scale, and, where
  /// there is a bias, of dy. Asynchronous.
  template <class Provider>
  void add_gradient(Context<Exec, Provider>& ctx, VectorOf<AccumulatorOf<T> const, Exec> products,
                    VectorOf<AccumulatorOf<T> const, Exec> sums,
                    VectorOf<AccumulatorOf<T>, Exec> gradient) const {
    auto const self = *this;
    Kokkos::parallel_for(
        "dashi::kernels::weight_decomposition_adjoint",
        Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(ctx.exec(), 0,
                                                            static_cast<Index>(gradient.extent(0))),
        KOKKOS_LAMBDA(Index i) {
          using Acc = AccumulatorOf<T>;
          Acc const left = self.bias.extent(0) > 0 ? convert<Acc>(self.bias(i)) * sums(i) : Acc(0);
          if (self.norm(i) != Acc(0)) {
            gradient(i) += (products(i) - left) / self.norm(i);
          }
        });
  }
};

}  // namespace dashi::kernels
