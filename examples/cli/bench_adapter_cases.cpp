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

void add_kronecker(std::vector<BenchCase>& cases, BenchContext& ctx, Index rows) {
  struct Layer {
    BenchMatrix<float> w, a, b, merged, x, y, dy, dx, da, db, saved;
  };
  kernels::KroneckerPlan const plan =
      kernels::plan_kronecker({factor, factor, side / factor, side / factor}, {.rows = rows},
                              kernels::measure_machine_ratio<float>(ctx));
  auto const l = std::make_shared<Layer>();
  l->w = random_matrix<float>(ctx, side, side, 1);
  l->a = random_matrix<float>(ctx, factor, factor, 2);
  l->b = random_matrix<float>(ctx, side / factor, side / factor, 3);
  l->merged = random_matrix<float>(ctx, side, side, 4);
  l->x = random_matrix<float>(ctx, rows, side, 5);
  l->y = random_matrix<float>(ctx, rows, side, 6);
  l->dy = random_matrix<float>(ctx, rows, side, 7);
  l->dx = random_matrix<float>(ctx, rows, side, 8);
  l->da = random_matrix<float>(ctx, factor, factor, 9);
  l->db = random_matrix<float>(ctx, side / factor, side / factor, 10);
  Index const between = plan.saves() ? plan.shape.between(plan.order) : 0;
  l->saved = random_matrix<float>(ctx, between > 0 ? rows : 0, between, 11);
  ctx.reserve_scratch(kernels::kronecker_linear_scratch<float, Exec>(plan));
  cases.push_back({.name = "frozen layer, forward and dx",
                   .shape = fmt::format("T {}, 1152 x 1152 f32", rows),
                   .flop = 2 * dense * static_cast<double>(rows),
                   .arithmetic = Arithmetic::f32,
                   .run = [&ctx, l] {
                     linalg::gemm(ctx, linalg::Op::none, l->x, linalg::Op::transpose, l->w, l->y);
                     linalg::gemm(ctx, linalg::Op::none, l->dy, linalg::Op::none, l->w, l->dx);
                     ctx.fence();
                   }});
  cases.push_back({.name = fmt::format("with Kronecker adapter ({})", name_of(plan.forward)),
                   .shape = fmt::format("T {}, A 8 x 8 f32", rows),
                   .flop = 2 * dense * static_cast<double>(rows),
                   .arithmetic = Arithmetic::f32,
                   .run = [&ctx, l, plan] {
                     kernels::KroneckerLinear<float, Exec> const layer{
                         .weight = l->w, .a = l->a, .b = l->b, .scale = 0.5, .merged = l->merged};
                     if (plan.merges()) {
                       kernels::update_merged<float, Exec>(ctx, layer);
                     }
                     kernels::RowsOf<float, Exec> saved;
                     if (plan.saves()) {
                       saved = l->saved;
                     }
                     kernels::kronecker_linear<float, Exec>(ctx, plan, layer, l->x, l->y, saved);
                     kernels::kronecker_linear_adjoint<float, Exec>(
                         ctx, plan, layer, l->x, l->dy, {.dx = l->dx, .da = l->da, .db = l->db},
                         saved);
                     ctx.fence();
                   }});
}

void add_fuse(std::vector<BenchCase>& cases, BenchContext& ctx) {
  constexpr Index tall = 32 * side;
  auto const w = random_matrix<float>(ctx, tall, side, 1);
  auto const a = random_matrix<float>(ctx, factor * 32, factor, 2);
  auto const b = random_matrix<float>(ctx, side / factor, side / factor, 3);
  cases.push_back({.name = "fuse a Kronecker product",
                   .shape = "W 36864 x 1152 f32",
                   .bytes = 8.0 * tall * side,
                   .run = [&ctx, w, a, b, sign = std::make_shared<double>(1)] {
                     *sign = -*sign;
                     kernels::kronecker_fuse(ctx, *sign, a, b, w);
                     ctx.fence();
                   }});
}

void add_gated(std::vector<BenchCase>& cases, BenchContext& ctx) {
  constexpr Index rows = 2048;
  constexpr Index tokens = 256;
  auto const ut = random_matrix<float>(ctx, side, side, 1);
  auto const vt = random_matrix<float>(ctx, side, side, 2);
  auto const sigma = random_vector<float>(ctx, side, 3);
  auto const gates = random_matrix<float>(ctx, rows / tokens, side, 4);
  auto const x = random_matrix<float>(ctx, rows, side, 5);
  auto const y = random_matrix<float>(ctx, rows, side, 6);
  ctx.reserve_scratch(kernels::gated_apply_scratch<float, Exec>(side, rows));
  cases.push_back({.name = "gated SVD layer",
                   .shape = "T 2048, 1152 x 1152, rank 1152 f32",
                   .flop = 2 * dense * rows,
                   .arithmetic = Arithmetic::f32,
                   .run = [&ctx, ut, vt, sigma, gates, x, y] {
                     kernels::gated_apply<float, Exec>(ctx, {.ut = ut, .sigma = sigma, .vt = vt},
                                                       {.values = gates, .rows_per_sample = tokens},
                                                       x, y);
                     ctx.fence();
                   }});
}

void add_low_rank(std::vector<BenchCase>& cases, BenchContext& ctx) {
  constexpr Index rows = 2048;
  constexpr Index rank = 16;
  auto const a = random_matrix<float>(ctx, rank, side, 1);
  auto const b = random_matrix<float>(ctx, side, rank, 2);
  auto const x = random_matrix<float>(ctx, rows, side, 3);
  auto const y = random_matrix<float>(ctx, rows, side, 4);
  ctx.reserve_scratch(kernels::low_rank_apply_scratch<float, Exec>(rows, rank));
  cases.push_back({.name = "low-rank adapter",
                   .shape = "T 2048, 1152 x 1152, rank 16 f32",
                   .bytes = 3.0 * rows * side * 4,
                   .flop = 4.0 * rows * side * rank,
                   .arithmetic = Arithmetic::f32,
                   .run = [&ctx, a, b, x, y] {
                     kernels::low_rank_apply(ctx, 0.5, a, b, x, y);
                     ctx.fence();
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
