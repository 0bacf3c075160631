// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows C10 and C11: a gated factored layer, forward and with all gradients, and the same layer with
// the weight of a class materialised.
#include "support/populated.hpp"
#include "support/timed_rows.hpp"

#include <dashi/core/scope_guard.hpp>
#include <dashi/kernels/gated_svd_adjoint.hpp>
#include <dashi/kernels/gated_svd_materialise.hpp>

#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

namespace {

using namespace dashi;
using Exec = Kokkos::DefaultHostExecutionSpace;
using Ctx = Context<Exec>;

constexpr Index rows_per_sample = 256;
constexpr Index classes = 8;

struct Values {
  Index rows, cols;
  bench::Populated<float> memory;

  Values(Index r, Index c, unsigned seed) : rows(r), cols(c), memory(r * c) {
    bench::fill_with_weights(memory, seed);
  }
  MatrixOf<float, Exec> matrix() const {
    return matrix_over<float, Exec>(memory.data(), rows, cols);
  }
  VectorOf<float, Exec> vector() const { return vector_over<float, Exec>(memory.data(), cols); }
};

struct Layer {
  Index m, n, rank, rows;
  Values ut, sigma, vt, gates, x, y, dx, dut, dsigma, dvt, dgates, z, h, w;
  bench::Populated<std::int64_t> labels;

  Layer(Index m_, Index n_, Index r, Index t)
      : m(m_),
        n(n_),
        rank(r),
        rows(t),
        ut(r, m_, 1),
        sigma(1, r, 2),
        vt(r, n_, 3),
        gates(classes, r, 4),
        x(t, n_, 5),
        y(t, m_, 6),
        dx(t, n_, 7),
        dut(r, m_, 8),
        dsigma(1, r, 9),
        dvt(r, n_, 10),
        dgates(classes, r, 11),
        z(t, r, 12),
        h(t, r, 13),
        w(m_, n_, 14),
        labels(t / rows_per_sample) {
    for (Index s = 0; s < labels.elements(); ++s) {
      labels.data()[s] = static_cast<std::int64_t>(s * 5 % classes);
    }
  }
  kernels::SvdFactors<float, Exec> factors() const {
    return {ut.matrix(), sigma.vector(), vt.matrix()};
  }
  kernels::SampleGates<float, Exec> sample_gates() const {
    return {gates.matrix(), vector_over<std::int64_t const, Exec>(labels.data(), labels.elements()),
            rows_per_sample};
  }
  void forward(Ctx& ctx, bool trains) const {
    kernels::SvdSaved<float, Exec> saved;
    if (trains) {
      saved = {z.matrix(), h.matrix()};
    }
    kernels::gated_apply<float>(ctx, factors(), sample_gates(), x.matrix(), y.matrix(), 0, saved);
    ctx.fence();
  }
  /// y serves as dy.
  void train(Ctx& ctx) const {
    forward(ctx, true);
    kernels::GatedGradients<float, Exec> g;
    g.dx = dx.matrix();
    g.dut = dut.matrix();
    g.dsigma = dsigma.vector();
    g.dvt = dvt.matrix();
    g.dgates = dgates.matrix();
    kernels::gated_adjoint<float>(ctx, factors(), sample_gates(), x.matrix(), y.matrix(), g,
                                  {z.matrix(), h.matrix()});
    ctx.fence();
  }
};

}  // namespace

/// DASHI_BENCH_REPEATS (15) makes it shorter.
int main(int argc, char** argv) {
  ScopeGuard const guard(argc, argv);
  Ctx ctx;
  bench::TimedRows rows;
  Index const side = 2048;
  Values const p(side, side, 1);
  Values const q(side, side, 2);
  Values const r(side, side, 3);
  rows.add({"ceiling/product 2048^3", 2.0 * side * side * side, 0, [&] {
              linalg::gemm(ctx, linalg::Op::none, p.matrix(), linalg::Op::transpose, q.matrix(),
                           r.matrix());
              ctx.fence();
            }});
  for (auto const& [m, n, rank] :
       {std::array<Index, 3>{1152, 1152, 1152}, {1152, 1152, 576}, {4608, 1152, 1152}}) {
    Index const tokens = 2048;
    auto const layer = std::make_shared<Layer>(m, n, rank, tokens);
    ctx.reserve_scratch(kernels::gated_adjoint_scratch<float, Exec>(m, n, rank, tokens,
                                                                    rows_per_sample, true, true));
    ctx.reserve_scratch(kernels::gated_apply_scratch<float, Exec>(rank, tokens));
    ctx.reserve_scratch(kernels::gated_materialise_scratch<float, Exec>(rank, n));
    std::string const name =
        std::to_string(m) + "x" + std::to_string(n) + " r=" + std::to_string(rank);
    double const flops = 2.0 * tokens * static_cast<double>(rank) * static_cast<double>(m + n);
    rows.add({"C10 forward " + name, flops, 0, [&ctx, layer] { layer->forward(ctx, false); }});
    rows.add(
        {"C10 forward and backward " + name, 3 * flops, 0, [&ctx, layer] { layer->train(ctx); }});
    rows.add({"C11 materialised class " + name,
              2.0 * tokens * static_cast<double>(m) * static_cast<double>(n), 0, [&ctx, layer] {
                linalg::gemm(ctx, linalg::Op::none, layer->x.matrix(), linalg::Op::transpose,
                             layer->w.matrix(), layer->y.matrix());
                ctx.fence();
              }});
    rows.add({"C11 materialising " + name,
              2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(rank), 0,
              [&ctx, layer, rank = rank] {
                kernels::gated_materialise<float>(
                    ctx, layer->factors(),
                    vector_over<float const, Exec>(layer->gates.memory.data(), rank),
                    layer->w.matrix());
                ctx.fence();
              }});
  }
  rows.run();
  rows.print("gated_svd");
  return 0;
}
