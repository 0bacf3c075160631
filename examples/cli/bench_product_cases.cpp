// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "bench_case.hpp"

#include <dashi/linalg/gemm.hpp>
#include <dashi/linalg/svd.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <span>

namespace cli {

namespace {

namespace linalg = dashi::linalg;
using dashi::Index;
using Exec = BenchExec;

template <class T>
void add_product(std::vector<BenchCase>& cases, BenchContext& ctx, char const* name,
                 Arithmetic arithmetic) {
  constexpr Index size = 2048;
  auto const a = random_matrix<T>(ctx, size, size, 1);
  auto const b = random_matrix<T>(ctx, size, size, 2);
  auto const c = random_matrix<T>(ctx, size, size, 3);
  cases.push_back({.name = fmt::format("product {}", name),
                   .shape = "2048 x 2048 x 2048",
                   .flop = 2.0 * size * size * size,
                   .arithmetic = arithmetic,
                   .ceiling = true,
                   .run = [&ctx, a, b, c] {
                     linalg::gemm(ctx, linalg::Op::none, a, linalg::Op::transpose, b, c);
                     ctx.fence();
                   }});
}

void add_svd(std::vector<BenchCase>& cases, BenchContext& ctx) {
  constexpr Index size = 384;
  constexpr std::size_t count = 8;
  struct Matrices {
    BenchMatrix<float> a, u, vt;
    BenchVector<float> s;
  };
  std::vector<Matrices> all;
  std::vector<linalg::SvdProblem<float, Exec>> problems;
  for (std::uint64_t k = 0; k < count; ++k) {
    all.push_back({random_matrix<float>(ctx, size, size, k),
                   random_matrix<float>(ctx, size, size, k),
                   random_matrix<float>(ctx, size, size, k), random_vector<float>(ctx, size, k)});
    problems.push_back({all.back().a, all.back().u, all.back().s, all.back().vt});
  }
  cases.push_back({.name = "singular value decompositions",
                   .shape = fmt::format("{} x 384 x 384 f32", count),
                   .flop = static_cast<double>(count) * 9.33 * size * size * size,
                   .arithmetic = Arithmetic::f32,
                   .run = [&ctx, all, problems] {
                     linalg::svd_batch(ctx,
                                       std::span<linalg::SvdProblem<float, Exec> const>(problems));
                   }});
}

}  // namespace

void add_product_cases(std::vector<BenchCase>& cases, BenchContext& ctx) {
  add_product<float>(cases, ctx, "f32", Arithmetic::f32);
  add_product<dashi::BFloat16>(cases, ctx, "bf16", Arithmetic::bf16);
  add_svd(cases, ctx);
}

}  // namespace cli
