// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/core/context.hpp>
#include <dashi/kernels/gated_svd.hpp>
#include <dashi/kernels/scale_rows.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <span>
#include <string>

namespace dashi::kernels {

/// Bytes of ctx.scratch() that gated_materialise takes.
template <class T, class Exec>
std::size_t gated_materialise_scratch(Index rank, Index n) {
  Arena measuring;
  measuring.matrix<T, Exec>(rank, n);
  return measuring.peak();
}

namespace detail {

template <class T>
struct UniteGates {
  T const* gate;
  T* out;
  bool first;

  KOKKOS_INLINE_FUNCTION void operator()(Index j) const {
    bool const take =
        first || convert<AccumulatorOf<T>>(gate[j]) > convert<AccumulatorOf<T>>(out[j]);
    out[j] = take ? gate[j] : out[j];
  }
};

}  // namespace detail

/// W = beta W + Σ_j sigma[j] gate[j] u_j v_j': the dense weight of one gate vector (a class, or a
/// set of classes by unite_gates); an empty gate is one everywhere. W [m, n]. 2 m n r FLOP. Takes
/// r n numbers of ctx.scratch() (gated_materialise_scratch). Asynchronous.
template <class T, class Exec, class Provider>
void gated_materialise(Context<Exec, Provider>& ctx,
                       std::type_identity_t<SvdFactors<T, Exec>> const& f,
                       std::type_identity_t<VectorOf<T const, Exec>> gate,
                       RowsArgument<T, Exec> const& w, double beta = 0) {
  using linalg::Op;
  detail::expect_factors(f);
  detail::expect_extents<T>(w, "W", f.ut.cols, f.vt.cols);
  if (gate.extent(0) > 0) {
    detail::expect_size(gate.extent(0), "gate", f.rank());
  }
  Frame const frame(ctx.scratch());
  auto const scaled = rows_of<T>(ctx.scratch().template matrix<T, Exec>(f.rank(), f.vt.cols));
  RowPieces const pieces = row_pieces<Exec>(f.vt.cols);
  run_tasks("dashi::kernels::gated_materialise", ctx.exec(), f.rank() * pieces.per_row,
            detail::ScaleRows<T>{f.vt, scaled, f.sigma.data(),
                                 gate.extent(0) > 0 ? gate.data() : nullptr, pieces});
  multiply(ctx, Op::transpose, f.ut, Op::none, read_only(scaled), w, {1, beta});
}

/// out[j] = largest gate of component j over the classes: what keeps the learngene and the tailors
/// of all of them, for a smaller model of a set of classes. gates [classes, r]. Asynchronous.
template <class T, class Exec, class Provider>
void unite_gates(Context<Exec, Provider>& ctx, RowsArgument<T const, Exec> const& gates,
                 std::span<Index const> classes, std::type_identity_t<VectorOf<T, Exec>> out) {
  detail::expect_size(out.extent(0), "the united gate", gates.cols);
  DASHI_EXPECTS(!classes.empty(), "a set of classes must not be empty");
  for (std::size_t k = 0; k < classes.size(); ++k) {
    DASHI_EXPECTS(classes[k] >= 0 && classes[k] < gates.rows,
                  "class " + std::to_string(classes[k]) + " of " + std::to_string(gates.rows));
    Kokkos::parallel_for(
        "dashi::kernels::unite_gates",
        Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(ctx.exec(), 0, gates.cols),
        detail::UniteGates<T>{gates.row(classes[k]), out.data(), k == 0});
  }
}

}  // namespace dashi::kernels
