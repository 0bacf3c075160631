// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/core/context.hpp>
#include <dashi/kernels/column_scale.hpp>
#include <dashi/kernels/row_products.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>

namespace dashi::kernels {

/// W = U diag(sigma) V' with the factors rank-major: row j of `ut` and `vt` is component j.
template <class T, class Exec>
struct SvdFactors {
  RowsOf<T const, Exec> ut{};       ///< [r, m]
  VectorOf<T const, Exec> sigma{};  ///< [r]
  RowsOf<T const, Exec> vt{};       ///< [r, n]

  Index rank() const { return ut.rows; }
};

/// What the adjoint wants again; either may be empty and is then computed again.
template <class T, class Exec>
struct SvdSaved {
  RowsOf<T, Exec> z{};  ///< [T, r], x V
  RowsOf<T, Exec> h{};  ///< [T, r], z scaled by sigma and gate
};

namespace detail {

template <class T, class Exec>
void expect_factors(SvdFactors<T, Exec> const& f) {
  expect_extents<T const>(f.vt, "Vt", f.rank(), f.vt.cols);
  expect_size(f.sigma.extent(0), "sigma", f.rank());
}

template <class T, class Exec>
void expect_gates(SampleGates<T, Exec> const& gates, Index rows, Index rank) {
  DASHI_EXPECTS(gates.rows_per_sample > 0, "rows_per_sample must be positive");
  if (!gates.values.given()) {
    return;
  }
  Index const samples = (rows + gates.rows_per_sample - 1) / gates.rows_per_sample;
  if (gates.labels.extent(0) == 0) {
    expect_extents<T const>(gates.values, "gates", std::max(gates.values.rows, samples), rank);
  } else {
    expect_extents<T const>(gates.values, "gates", gates.values.rows, rank);
    expect_size(gates.labels.extent(0), "labels", samples);
  }
}

/// Rows whose z stays in the second-level caches between the two products.
template <class T, class Exec>
Index gated_tile(Index rank, Index rows) {
  if constexpr (runs_on_host<Exec>) {
    constexpr Index cached = Index{4} << 20;
    Index const row = static_cast<Index>(sizeof(T)) * std::max<Index>(1, rank);
    return std::max<Index>(256, cached / row / 64 * 64);
  } else {
    return std::max<Index>(rows, 1);
  }
}

template <class T, class Exec>
struct GatedScratch {
  MatrixOf<T, Exec> z, h;

  static GatedScratch take(Arena& arena, Index rank, Index rows, bool saved_z, bool saved_h) {
    Index const tile = std::min(rows, gated_tile<T, Exec>(rank, rows));
    return {arena.matrix<T, Exec>(saved_z ? 0 : tile, rank),
            arena.matrix<T, Exec>(saved_z && !saved_h ? tile : 0, rank)};
  }
};

}  // namespace detail

/// Bytes of ctx.scratch() that gated_apply takes.
template <class T, class Exec>
std::size_t gated_apply_scratch(Index rank, Index rows, bool saved_z = false,
                                bool saved_h = false) {
  Arena measuring;
  detail::GatedScratch<T, Exec>::take(measuring, rank, rows, saved_z, saved_h);
  return measuring.peak();
}

/// y = beta y + ((x V) ⊙ sigma ⊙ gate) U' for every row of x, with the gate of the row's sample.
/// KIND, arXiv 2408.07337: components 0..N_G-1 are the learngene, whose gates are one, the others
/// tailors; no gates is FINE, arXiv 2409.19289.
///
/// x [T, n], y [T, m], row-major, rows any distance apart. 2 T r (m + n) FLOP. A tile of rows goes
/// through both products and the one pass between them, so that its z stays in cache; `saved`
/// receives z and h for the adjoint. Takes gated_apply_scratch bytes. Asynchronous.
template <class T, class Exec, class Provider>
void gated_apply(Context<Exec, Provider>& ctx, std::type_identity_t<SvdFactors<T, Exec>> const& f,
                 std::type_identity_t<SampleGates<T, Exec>> const& gates,
                 RowsArgument<T const, Exec> const& x, RowsArgument<T, Exec> const& y,
                 double beta = 0, std::type_identity_t<SvdSaved<T, Exec>> const& saved = {}) {
  using linalg::Op;
  Index const rank = f.rank();
  detail::expect_factors(f);
  detail::expect_gates(gates, x.rows, rank);
  detail::expect_extents<T const>(x, "x", x.rows, f.vt.cols);
  detail::expect_extents<T>(y, "y", x.rows, f.ut.cols);
  bool const keep_z = saved.z.given();
  bool const keep_h = saved.h.given();
  if (keep_z) {
    detail::expect_extents<T>(saved.z, "saved.z", x.rows, rank);
  }
  if (keep_h) {
    detail::expect_extents<T>(saved.h, "saved.h", x.rows, rank);
  }
  Frame const frame(ctx.scratch());
  auto const scratch =
      detail::GatedScratch<T, Exec>::take(ctx.scratch(), rank, x.rows, keep_z, keep_h);
  auto const gate_rows = detail::GateRows<T>::of(gates);
  Index const tile = detail::gated_tile<T, Exec>(rank, x.rows);
  for (Index first = 0; first < x.rows; first += tile) {
    Index const count = std::min(tile, x.rows - first);
    Rows<T> const z =
        keep_z ? some_rows<T>(saved.z, first, count) : some_rows(rows_of<T>(scratch.z), 0, count);
    Rows<T> const h = keep_h   ? some_rows<T>(saved.h, first, count)
                      : keep_z ? some_rows(rows_of<T>(scratch.h), 0, count)
                               : z;
    multiply(ctx, Op::none, some_rows<T const>(x, first, count), Op::transpose, f.vt, z);
    detail::scale_columns<T>(ctx, "dashi::kernels::gated_apply", read_only(z), h, Rows<T>{},
                             f.sigma.data(), gate_rows, nullptr, first);
    multiply(ctx, Op::none, read_only(h), Op::none, f.ut, some_rows<T>(y, first, count), {1, beta});
  }
}

}  // namespace dashi::kernels
