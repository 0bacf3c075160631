// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "bench_case.hpp"

#include <dashi/kernels/gated_svd.hpp>
#include <dashi/kernels/kronecker_adjoint.hpp>
#include <dashi/kernels/kronecker_fuse.hpp>
#include <dashi/kernels/kronecker_linear.hpp>
#include <dashi/kernels/kronecker_plan.hpp>
#include <dashi/kernels/low_rank.hpp>
#include <dashi/kernels/machine_ratio.hpp>

#include <fmt/format.h>

#include <memory>

namespace cli {

namespace {

namespace kernels = dashi::kernels;
namespace linalg = dashi::linalg;
using dashi::Index;
using Exec = BenchExec;

constexpr Index side = 1152;
constexpr Index factor = 8;
constexpr double dense = 2.0 * side * side;

struct Layer {
  kernels::KroneckerPlan plan;
  BenchMatrix<float> w, a, b, merged, x, y, dy, dx, da, db, saved;
};

Layer make_layer(BenchContext& ctx, Index rows) {
  Layer l{
      .plan = kernels::plan_kronecker({factor, factor, side / factor, side / factor},
                                      {.rows = rows}, kernels::measure_machine_ratio<float>(ctx)),
      .w = random_matrix<float>(ctx, side, side, 1),
      .a = random_matrix<float>(ctx, factor, factor, 2),
      .b = random_matrix<float>(ctx, side / factor, side / factor, 3),
      .merged = random_matrix<float>(ctx, side, side, 4),
      .x = random_matrix<float>(ctx, rows, side, 5),
      .y = random_matrix<float>(ctx, rows, side, 6),
      .dy = random_matrix<float>(ctx, rows, side, 7),
      .dx = random_matrix<float>(ctx, rows, side, 8),
      .da = random_matrix<float>(ctx, factor, factor, 9),
      .db = random_matrix<float>(ctx, side / factor, side / factor, 10),
      .saved = {}};
  if (l.plan.saves()) {
    l.saved = random_matrix<float>(ctx, rows, l.plan.shape.between(l.plan.gradient_order()), 11);
  }
  return l;
}

void run_adapted(BenchContext& ctx, Layer const& l) {
  kernels::KroneckerLinear<float, Exec> const layer{
      .weight = l.w, .a = l.a, .b = l.b, .scale = 0.5, .merged = l.merged};
  if (l.plan.merges()) {
    kernels::update_merged<float, Exec>(ctx, layer);
  }
  kernels::RowsOf<float, Exec> saved;
  if (l.plan.saves()) {
    saved = l.saved;
  }
  kernels::kronecker_linear<float, Exec>(ctx, l.plan, layer, l.x, l.y, saved);
  kernels::kronecker_linear_adjoint<float, Exec>(ctx, l.plan, layer, l.x, l.dy,
                                                 {.dx = l.dx, .da = l.da, .db = l.db}, saved);
  ctx.fence();
}

void add_kronecker(std::vector<BenchCase>& cases, BenchContext& ctx, Index rows) {
  Shared<Layer> const layer([&ctx, rows] { return make_layer(ctx, rows); });
  double const flop = 2 * dense * static_cast<double>(rows);
  cases.push_back({.name = "frozen layer, forward and dx",
                   .shape = fmt::format("T {}, 1152 x 1152 f32", rows),
                   .flop = flop,
                   .arithmetic = Arithmetic::f32,
                   .make = [&ctx, layer] {
                     return [&ctx, l = layer.get()] {
                       linalg::gemm(ctx, linalg::Op::none, l.x, linalg::Op::transpose, l.w, l.y);
                       linalg::gemm(ctx, linalg::Op::none, l.dy, linalg::Op::none, l.w, l.dx);
                       ctx.fence();
                     };
                   }});
  cases.push_back({.name = "with Kronecker adapter, all gradients",
                   .shape = fmt::format("T {}, A 8 x 8, as planned, f32", rows),
                   .flop = flop,
                   .arithmetic = Arithmetic::f32,
                   .make = [&ctx, layer] {
                     ctx.reserve_scratch(
                         kernels::kronecker_linear_scratch<float, Exec>(layer.get().plan));
                     return [&ctx, l = layer.get()] { run_adapted(ctx, l); };
                   }});
}

void add_fuse(std::vector<BenchCase>& cases, BenchContext& ctx) {
  constexpr Index tall = 32 * side;
  cases.push_back({.name = "fuse a Kronecker product",
                   .shape = "W 36864 x 1152 f32",
                   .bytes = 8.0 * tall * side,
                   .make = [&ctx] {
                     return [&ctx, w = random_matrix<float>(ctx, tall, side, 1),
                             a = random_matrix<float>(ctx, factor * 32, factor, 2),
                             b = random_matrix<float>(ctx, side / factor, side / factor, 3),
                             sign = std::make_shared<double>(1)] {
                       *sign = -*sign;
                       kernels::kronecker_fuse(ctx, *sign, a, b, w);
                       ctx.fence();
                     };
                   }});
}

void add_gated(std::vector<BenchCase>& cases, BenchContext& ctx) {
  constexpr Index rows = 2048;
  constexpr Index tokens = 256;
  cases.push_back({.name = "gated SVD layer",
                   .shape = "T 2048, 1152 x 1152, rank 1152 f32",
                   .flop = 2 * dense * rows,
                   .arithmetic = Arithmetic::f32,
                   .make = [&ctx] {
                     ctx.reserve_scratch(kernels::gated_apply_scratch<float, Exec>(side, rows));
                     return [&ctx, ut = random_matrix<float>(ctx, side, side, 1),
                             vt = random_matrix<float>(ctx, side, side, 2),
                             sigma = random_vector<float>(ctx, side, 3),
                             gates = random_matrix<float>(ctx, rows / tokens, side, 4),
                             x = random_matrix<float>(ctx, rows, side, 5),
                             y = random_matrix<float>(ctx, rows, side, 6)] {
                       kernels::gated_apply<float, Exec>(
                           ctx, {.ut = ut, .sigma = sigma, .vt = vt},
                           {.values = gates, .rows_per_sample = tokens}, x, y);
                       ctx.fence();
                     };
                   }});
}

void add_low_rank(std::vector<BenchCase>& cases, BenchContext& ctx) {
  constexpr Index rows = 2048;
  constexpr Index rank = 16;
  cases.push_back({.name = "low-rank adapter",
                   .shape = "T 2048, 1152 x 1152, rank 16 f32",
                   .bytes = 3.0 * rows * side * 4,
                   .flop = 4.0 * rows * side * rank,
                   .arithmetic = Arithmetic::f32,
                   .make = [&ctx] {
                     ctx.reserve_scratch(kernels::low_rank_apply_scratch<float, Exec>(rows, rank));
                     return [&ctx, a = random_matrix<float>(ctx, rank, side, 1),
                             b = random_matrix<float>(ctx, side, rank, 2),
                             x = random_matrix<float>(ctx, rows, side, 3),
                             y = random_matrix<float>(ctx, rows, side, 4)] {
                       kernels::low_rank_apply(ctx, 0.5, a, b, x, y);
                       ctx.fence();
                     };
                   }});
}

}  // namespace

void add_adapter_cases(std::vector<BenchCase>& cases, BenchContext& ctx) {
  add_kronecker(cases, ctx, 256);
  add_kronecker(cases, ctx, 2048);
  add_fuse(cases, ctx);
  add_gated(cases, ctx);
  add_low_rank(cases, ctx);
}

}  // namespace cli
