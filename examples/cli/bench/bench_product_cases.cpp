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
  cases.push_back({.name = fmt::format("product {}", name),
                   .shape = "2048 x 2048 x 2048",
                   .flop = 2.0 * size * size * size,
                   .arithmetic = arithmetic,
                   .ceiling = true,
                   .make = [&ctx] {
                     return [&ctx, a = random_matrix<T>(ctx, size, size, 1),
                             b = random_matrix<T>(ctx, size, size, 2),
                             c = random_matrix<T>(ctx, size, size, 3)] {
                       linalg::gemm(ctx, linalg::Op::none, a, linalg::Op::transpose, b, c);
                       ctx.fence();
                     };
                   }});
}

constexpr Index svd_size = 384;
constexpr std::size_t svd_count = 8;

std::function<void()> svd_run(BenchContext& ctx) {
  struct Matrices {
    BenchMatrix<float> a, u, vt;
    BenchVector<float> s;
  };
  std::vector<Matrices> all;
  std::vector<linalg::SvdProblem<float, Exec>> problems;
  for (std::uint64_t k = 0; k < svd_count; ++k) {
    auto const matrix = [&] { return random_matrix<float>(ctx, svd_size, svd_size, k); };
    all.push_back({matrix(), matrix(), matrix(), random_vector<float>(ctx, svd_size, k)});
    problems.push_back({all.back().a, all.back().u, all.back().s, all.back().vt});
  }
  return [&ctx, all, problems] {
    linalg::svd_batch(ctx, std::span<linalg::SvdProblem<float, Exec> const>(problems));
  };
}

void add_svd(std::vector<BenchCase>& cases, BenchContext& ctx) {
  cases.push_back({.name = "singular value decompositions",
                   .shape = fmt::format("{} x 384 x 384 f32", svd_count),
                   .flop = static_cast<double>(svd_count) * 9.33 * svd_size * svd_size * svd_size,
                   .arithmetic = Arithmetic::f32,
                   .make = [&ctx] { return svd_run(ctx); }});
}

}  // namespace

void add_product_cases(std::vector<BenchCase>& cases, BenchContext& ctx) {
  add_product<float>(cases, ctx, "f32", Arithmetic::f32);
  add_product<dashi::BFloat16>(cases, ctx, "bf16", Arithmetic::bf16);
  add_svd(cases, ctx);
}

}  // namespace cli
