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

std::function<void()> layer_norm_run(BenchContext& ctx, Index samples, Index tokens, Index cols) {
  Index const rows = samples * tokens;
  return
      [&ctx, tokens, cols, x = random_matrix<float>(ctx, rows, cols, 1),
       branch = random_matrix<float>(ctx, rows, cols, 2),
       y = random_matrix<float>(ctx, rows, cols, 3),
       modulation = random_matrix<float>(ctx, samples, 3 * cols, 4),
       mean = random_vector<float>(ctx, rows, 5), deviation = random_vector<float>(ctx, rows, 6)] {
        kernels::RowsOf<float const, Exec> const all(modulation);
        kernels::layer_norm_modulate<float, Exec>(ctx, {.x = x,
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
      };
}

void add_layer_norm(std::vector<BenchCase>& cases, BenchContext& ctx) {
  constexpr Index samples = 64;
  constexpr Index tokens = 256;
  constexpr Index cols = 1152;
  cases.push_back({.name = "gated residual, norm, modulation",
                   .shape = fmt::format("{} x {} f32", samples * tokens, cols),
                   .bytes = 4.0 * samples * tokens * cols * 4,
                   .make = [&ctx] { return layer_norm_run(ctx, samples, tokens, cols); }});
}

void add_attention(std::vector<BenchCase>& cases, BenchContext& ctx, Index samples, Index tokens) {
  constexpr Index heads = 16;
  constexpr Index head = 72;
  Index const rows = samples * tokens;
  cases.push_back(
      {.name = "attention",
       .shape = fmt::format("{} x {} tokens, 16 heads of 72 f32", samples, tokens),
       .flop = 4.0 * static_cast<double>(rows * tokens) * heads * head,
       .arithmetic = Arithmetic::f32,
       .make = [&ctx, samples, tokens, rows] {
         ctx.reserve_scratch(kernels::attention_scratch_bytes<float, Exec>(ctx, tokens, head));
         return [&ctx, tokens, qkv = random_matrix<float>(ctx, rows, 3 * heads * head, 1),
                 out = random_matrix<float>(ctx, rows, heads * head, 2),
                 sums = random_matrix<float>(ctx, samples * heads, tokens, 3)] {
           kernels::Attention<float, Exec> a;
           a.tokens = tokens;
           a.heads = heads;
           a.split(qkv);
           a.out = out;
           a.log_sum_exp = sums;
           kernels::attention(ctx, a);
           ctx.fence();
         };
       }});
}

}  // namespace

void add_block_cases(std::vector<BenchCase>& cases, BenchContext& ctx) {
  add_layer_norm(cases, ctx);
  add_attention(cases, ctx, 4, 256);
  add_attention(cases, ctx, 1, 1024);
}

}  // namespace cli
