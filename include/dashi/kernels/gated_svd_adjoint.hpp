// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/core/context.hpp>
#include <dashi/kernels/gated_svd.hpp>
#include <dashi/kernels/transposed_product.hpp>

#include <algorithm>
#include <cstddef>

namespace dashi::kernels {

/// What gated_adjoint is to compute; what is left empty is not.
template <class T, class Exec>
struct GatedGradients {
  using Acc = AccumulatorOf<T>;
  RowsOf<T, Exec> dx{};
  double dx_beta = 0;            ///< dx becomes dx_beta dx plus its gradient
  RowsOf<Acc, Exec> dut{};       ///< [r, m]
  VectorOf<Acc, Exec> dsigma{};  ///< [r]
  RowsOf<Acc, Exec> dvt{};       ///< [r, n]
  RowsOf<Acc, Exec> dgates{};    ///< of gates.values' extents
  double beta = 0;  ///< the parameters' gradients become beta times themselves plus new
};

namespace detail {

/// dsigma[j] = beta dsigma[j] + Σ_p gate(p)[j] products[p, j], in order of p.
template <class T>
struct FinishSigma {
  using Acc = AccumulatorOf<T>;
  Acc const* products;
  Index terms, rank, per_sample;
  GateRows<T> gates;
  Acc beta;
  Acc* out;

  KOKKOS_INLINE_FUNCTION void operator()(Index j) const {
    Acc sum = 0;
    for (Index p = 0; p < terms; ++p) {
      T const* const gate = gates.of_sample(p / per_sample);
      sum += products[p * rank + j] * (gate == nullptr ? Acc(1) : convert<Acc>(gate[j]));
    }
    out[j] = beta == Acc(0) ? sum : sum + beta * out[j];
  }
};

/// dgates[g, j] = beta dgates[g, j] + sigma[j] Σ products[p, j] over the pieces p of samples that
/// take gate g, in order of p.
template <class T>
struct FinishGates {
  using Acc = AccumulatorOf<T>;
  Acc const* products;
  Index terms, rank, per_sample;
  GateRows<T> gates;
  T const* sigma;
  Acc beta;
  Rows<Acc> out;

  KOKKOS_INLINE_FUNCTION void operator()(Index at) const {
    Index const gate = at / rank;
    Index const j = at - gate * rank;
    Acc sum = 0;
    for (Index first = 0; first < terms; first += per_sample) {
      if (gates.index(first / per_sample) == gate) {
        for (Index p = first; p < first + per_sample; ++p) {
          sum += products[p * rank + j];
        }
      }
    }
    Acc& element = out.row(gate)[j];
    Acc const value = sum * convert<Acc>(sigma[j]);
    element = beta == Acc(0) ? value : value + beta * element;
  }
};

template <class T, class Exec>
struct GatedAdjointScratch {
  using Acc = AccumulatorOf<T>;
  MatrixOf<T, Exec> dh, z, h;
  VectorOf<Acc, Exec> products, work;

  static GatedAdjointScratch take(Arena& arena, Index m, Index n, Index rank, Index rows,
                                  Index rows_per_sample, bool saved_z, bool saved_h) {
    GatedAdjointScratch s;
    s.dh = arena.matrix<T, Exec>(rows, rank);
    s.z = arena.matrix<T, Exec>(saved_z ? 0 : rows, rank);
    s.h = arena.matrix<T, Exec>(saved_h ? 0 : rows, rank);
    s.products = arena.vector<Acc, Exec>(scale_terms(rows, rows_per_sample) * rank);
    s.work = arena.vector<Acc, Exec>(transposed_product_scratch<Exec>(rows, rank, std::max(m, n)));
    return s;
  }
};

}  // namespace detail

/// Bytes of ctx.scratch() that gated_adjoint takes for U [m, rank], V [n, rank].
template <class T, class Exec>
std::size_t gated_adjoint_scratch(Index m, Index n, Index rank, Index rows, Index rows_per_sample,
                                  bool saved_z = false, bool saved_h = false) {
  Arena measuring;
  detail::GatedAdjointScratch<T, Exec>::take(measuring, m, n, rank, rows, rows_per_sample, saved_z,
                                             saved_h);
  return measuring.peak();
}

/// The adjoint of gated_apply: dh = dy U, dU' += h' dy, dz = dh ⊙ sigma ⊙ gate, dV' += dz' x,
/// dx += dz V', dsigma[j] += Σ_t gate[t, j] dh[t, j] z[t, j], dgate[g, j] += sigma[j] Σ dh z over
/// the rows whose sample takes gate g.
///
/// One pass makes dz of dh and sums dh z over pieces of 32 rows of a sample; dsigma and dgates add
/// these in order of the pieces, so the same bits come from any number of threads. `saved` as
/// gated_apply left it; what is empty is computed again. 4 T r (m + n) FLOP with all gradients
/// wanted. Takes gated_adjoint_scratch bytes. Asynchronous.
template <class T, class Exec, class Provider>
void gated_adjoint(Context<Exec, Provider>& ctx, std::type_identity_t<SvdFactors<T, Exec>> const& f,
                   std::type_identity_t<SampleGates<T, Exec>> const& gates,
                   RowsArgument<T const, Exec> const& x, RowsArgument<T const, Exec> const& dy,
                   std::type_identity_t<GatedGradients<T, Exec>> const& gradients,
                   std::type_identity_t<SvdSaved<T, Exec>> const& saved = {}) {
  using Acc = AccumulatorOf<T>;
  using linalg::Op;
  using Range = Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>;
  Index const rank = f.rank();
  Index const rows = x.rows;
  bool const want_dx = gradients.dx.given();
  bool const want_u = gradients.dut.given();
  bool const want_v = gradients.dvt.given();
  bool const want_sigma = gradients.dsigma.extent(0) > 0;
  bool const want_gates = gradients.dgates.given();
  detail::expect_factors(f);
  detail::expect_gates(gates, rows, rank);
  detail::expect_extents<T const>(x, "x", rows, f.vt.cols);
  detail::expect_extents<T const>(dy, "dy", rows, f.ut.cols);
  if (want_dx) {
    detail::expect_extents<T>(gradients.dx, "dx", rows, f.vt.cols);
  }
  if (want_u) {
    detail::expect_extents<Acc>(gradients.dut, "dUt", rank, f.ut.cols);
  }
  if (want_v) {
    detail::expect_extents<Acc>(gradients.dvt, "dVt", rank, f.vt.cols);
  }
  if (want_sigma) {
    detail::expect_size(gradients.dsigma.extent(0), "dsigma", rank);
  }
  if (want_gates) {
    detail::expect_extents<Acc>(gradients.dgates, "dgates", gates.values.rows, rank);
  }
  if (saved.z.given()) {
    detail::expect_extents<T>(saved.z, "saved.z", rows, rank);
  }
  if (saved.h.given()) {
    detail::expect_extents<T>(saved.h, "saved.h", rows, rank);
  }
  Frame const frame(ctx.scratch());
  auto const scratch = detail::GatedAdjointScratch<T, Exec>::take(
      ctx.scratch(), f.ut.cols, f.vt.cols, rank, rows, gates.rows_per_sample, saved.z.given(),
      saved.h.given());
  auto const gate_rows = detail::GateRows<T>::of(gates);
  Rows<T> const dh = rows_of<T>(scratch.dh);
  Rows<T> const z = saved.z.given() ? plain<T>(saved.z) : rows_of<T>(scratch.z);
  Rows<T> const h = saved.h.given() ? plain<T>(saved.h) : rows_of<T>(scratch.h);
  bool const want_products = want_sigma || want_gates;
  bool const want_h = want_u && !saved.h.given();
  if ((want_products || want_h) && !saved.z.given()) {
    multiply(ctx, Op::none, x, Op::transpose, f.vt, z);
  }
  if (want_h) {
    detail::scale_columns<T>(ctx, "dashi::kernels::gated_adjoint", read_only(z), h, Rows<T>{},
                             f.sigma.data(), gate_rows, nullptr);
  }
  if (want_u) {
    transposed_product<T>(ctx, read_only(h), dy, gradients.dut, scratch.work.data(),
                          {1, gradients.beta});
  }
  multiply(ctx, Op::none, dy, Op::transpose, f.ut, dh);
  detail::scale_columns_adjoint<T>(ctx, "dashi::kernels::gated_adjoint", dh,
                                   want_products ? read_only(z) : Rows<T const>{}, f.sigma.data(),
                                   gate_rows, scratch.products.data(), nullptr);
  Index const terms = detail::scale_terms(rows, gates.rows_per_sample);
  Index const per_sample = detail::sums_per_sample(gates.rows_per_sample);
  if (want_sigma) {
    Kokkos::parallel_for(
        "dashi::kernels::gated_adjoint", Range(ctx.exec(), 0, rank),
        detail::FinishSigma<T>{scratch.products.data(), terms, rank, per_sample, gate_rows,
                               static_cast<Acc>(gradients.beta), gradients.dsigma.data()});
  }
  if (want_gates) {
    Kokkos::parallel_for(
        "dashi::kernels::gated_adjoint", Range(ctx.exec(), 0, gates.values.rows * rank),
        detail::FinishGates<T>{scratch.products.data(), terms, rank, per_sample, gate_rows,
                               f.sigma.data(), static_cast<Acc>(gradients.beta), gradients.dgates});
  }
  if (want_v) {
    transposed_product<T>(ctx, read_only(dh), x, gradients.dvt, scratch.work.data(),
                          {1, gradients.beta});
  }
  if (want_dx) {
    multiply(ctx, Op::none, read_only(dh), Op::none, f.vt, gradients.dx, {1, gradients.dx_beta});
  }
}

}  // namespace dashi::kernels
