// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "bench_case.hpp"

#include <dashi/kernels/attention.hpp>
#include <dashi/kernels/layer_norm_modulate.hpp>

#include <fmt/format.h>

namespace cli {

namespace {

namespace kernels = dashi::kernels;
using dashi::Index;
using Exec = BenchExec;

void add_layer_norm(std::vector<BenchCase>& cases, BenchContext& ctx) {
  constexpr Index samples = 64;
  constexpr Index tokens = 256;
  constexpr Index cols = 1152;
  constexpr Index rows = samples * tokens;
  auto const x = random_matrix<float>(ctx, rows, cols, 1);
  auto const branch = random_matrix<float>(ctx, rows, cols, 2);
  auto const y = random_matrix<float>(ctx, rows, cols, 3);
  auto const modulation = random_matrix<float>(ctx, samples, 3 * cols, 4);
  auto const mean = random_vector<float>(ctx, rows, 5);
  auto const deviation = random_vector<float>(ctx, rows, 6);
  cases.push_back({.name = "gated residual, norm, modulation",
                   .shape = fmt::format("{} x {} f32", rows, cols),
                   .bytes = 4.0 * rows * cols * 4,
                   .run = [&ctx, x, branch, y, modulation, mean, deviation] {
                     kernels::RowsOf<float const, Exec> const all(modulation);
                     kernels::layer_norm_modulate<float, Exec>(
                         ctx, {.x = x,
                               .branch = branch,
                               .gate = all.columns(0, cols),
                               .scale = all.columns(cols, cols),
                               .shift = all.columns(2 * cols, cols),
                               .sum = x,
                               .y = y,
                               .mean = mean,
                               .reciprocal_deviation = deviation,
                               .rows_per_sample = tokens});
                     ctx.fence();
                   }});
}

void add_attention(std::vector<BenchCase>& cases, BenchContext& ctx, Index samples, Index tokens) {
  constexpr Index heads = 16;
  constexpr Index head = 72;
  Index const rows = samples * tokens;
  auto const qkv = random_matrix<float>(ctx, rows, 3 * heads * head, 1);
  auto const out = random_matrix<float>(ctx, rows, heads * head, 2);
  auto const log_sum_exp = random_matrix<float>(ctx, samples * heads, tokens, 3);
  ctx.reserve_scratch(kernels::attention_scratch_bytes<float, Exec>(ctx, tokens, head));
  cases.push_back(
      {.name = "attention",
       .shape = fmt::format("{} x {} tokens, 16 heads of 72 f32", samples, tokens),
       .flop = 4.0 * static_cast<double>(rows) * static_cast<double>(tokens) * heads * head,
       .arithmetic = Arithmetic::f32,
       .run = [&ctx, qkv, out, log_sum_exp, tokens] {
         kernels::Attention<float, Exec> a;
         a.tokens = tokens;
         a.heads = heads;
         a.split(qkv);
         a.out = out;
         a.log_sum_exp = log_sum_exp;
         kernels::attention(ctx, a);
         ctx.fence();
       }});
}

}  // namespace

void add_block_cases(std::vector<BenchCase>& cases, BenchContext& ctx) {
  add_layer_norm(cases, ctx);
  add_attention(cases, ctx, 4, 256);
  add_attention(cases, ctx, 1, 1024);
}

}  // namespace cli
